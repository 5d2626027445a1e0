// SPDX-License-Identifier: Apache-2.0
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { concurrently } from "../shared/concurrently.ts";
import { LightvmError } from "../shared/errors.ts";
import type { PackErofs } from "./erofs.ts";
import { parseImageConfig } from "./image-config.ts";
import type { ImageNames, ImageStore, NewImage } from "./image-store.ts";
import type { ImageConfig } from "./images.ts";
import { requireSpace, toLightvmError } from "./layer/disk.ts";
import { fetchBlob } from "./layer/fetch-blob.ts";
import { flatten } from "./layer/flatten.ts";
import { checkLayerType, unpackLayer } from "./layer/unpack-layer.ts";
import type { Descriptor, ImageManifest } from "./registry/manifest.ts";
import type { Registry } from "./registry/registry.ts";
import { UNIKERNEL_PREFIX, unikernelOf } from "./unikernel.ts";

/** Layers that are fetched and unpacked at the same time. */
const LAYERS_AT_ONCE = 3;

export interface ImagePullOptions {
  readonly registry: Registry;
  readonly manifest: ImageManifest;
  readonly names: ImageNames;
  readonly store: ImageStore;
  readonly packErofs: PackErofs;
  readonly signal: AbortSignal;
}

/**
 * Brings one image to the store, unless it is there:
 *
 *     configuration → each layer: fetch, verify, unpack, verify → merge → EROFS → record
 *
 * All of it happens in a directory of its own, which goes in the end, however it ends.
 */
export async function pullImage(options: ImagePullOptions): Promise<void> {
  const { manifest, names, store } = options;
  if (store.addNames(manifest.config.digest, names)) return;
  try {
    await using clean = new AsyncDisposableStack();
    const directory = await store.makeWorkDirectory();
    clean.defer(() => rm(directory, { recursive: true, force: true }));
    await buildImage(options, directory);
  } catch (error) {
    throw toLightvmError(error, `pulling ${names.tag ?? names.digest}`);
  }
}

async function buildImage(options: ImagePullOptions, directory: string): Promise<void> {
  const { registry, manifest, names, store, signal } = options;
  const parsed = parseImageConfig(await registry.config(manifest, signal));
  const config = withAnnotations(parsed.config, manifest);
  const { diffIds } = parsed;
  if (diffIds.length !== manifest.layers.length) {
    throw new LightvmError(
      "data-loss",
      `the image has ${manifest.layers.length} layers, but its configuration names ${diffIds.length}`,
    );
  }
  for (const { mediaType } of manifest.layers) checkLayerType(mediaType);
  const layers = manifest.layers.map((blob, index) => ({ blob, diffId: diffIds[index] ?? "" }));
  const tarOf = (index: number) => join(directory, `layer-${index}.tar`);
  await concurrently(layers, LAYERS_AT_ONCE, signal, ({ blob, diffId }, index, either) =>
    bringLayer(registry, { blob, diffId, tarPath: tarOf(index) }, either),
  );
  const tars = layers.map((_, index) => tarOf(index));
  const files = await pack(tars, config, directory, options);
  await store.add({ id: manifest.config.digest, config, ...files }, names);
}

interface Layer {
  readonly blob: Descriptor;
  readonly diffId: string;
  readonly tarPath: string;
}

async function bringLayer(registry: Registry, layer: Layer, signal: AbortSignal): Promise<void> {
  const { blob, diffId, tarPath } = layer;
  const blobPath = `${tarPath}.blob`;
  await fetchBlob(registry, blob, blobPath, signal);
  await unpackLayer(blobPath, tarPath, diffId, signal);
  await rm(blobPath);
}

/** Tools that cannot write labels into a configuration annotate the manifest. Labels come first. */
function withAnnotations(config: ImageConfig, { annotations }: ImageManifest): ImageConfig {
  const ours = Object.entries(annotations).filter(([name]) => name.startsWith(UNIKERNEL_PREFIX));
  return { ...config, labels: { ...Object.fromEntries(ours), ...config.labels } };
}

/** The files that the store keeps of an image: its file system, and a unikernel's kernel. */
async function pack(
  tars: readonly string[],
  config: ImageConfig,
  directory: string,
  { packErofs, signal }: ImagePullOptions,
): Promise<Pick<NewImage, "path" | "kernelPath">> {
  const unikernel = unikernelOf(config.labels);
  const path = join(directory, "image.erofs");
  const kernelPath = join(directory, "kernel");
  await using image = await flatten(tars, signal);
  // mkfs.erofs 1.8 does not notice when its temporary copy of a content finds the disk full. It
  // needs that copy and the result.
  await requireSpace(directory, 2 * image.contentBytes, "the packed image");
  await packErofs(image.tar(signal), path, signal);
  if (unikernel === undefined) return { path, kernelPath: undefined };
  await writeFile(kernelPath, image.file(unikernel.kernel), { flush: true, signal });
  return { path, kernelPath };
}
