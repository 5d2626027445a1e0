// SPDX-License-Identifier: Apache-2.0
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { LightvmError } from "../shared/errors.ts";
import { concurrently } from "./concurrently.ts";
import type { PackErofs } from "./erofs.ts";
import { parseImageConfig } from "./image-config.ts";
import type { ImageNames, ImageStore } from "./image-store.ts";
import { requireSpace, toLightvmError } from "./layer/disk.ts";
import { fetchBlob } from "./layer/fetch-blob.ts";
import { flatten } from "./layer/flatten.ts";
import { checkLayerType, unpackLayer } from "./layer/unpack-layer.ts";
import type { Descriptor, ImageManifest } from "./registry/manifest.ts";
import type { Registry } from "./registry/registry.ts";

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
  const { config, diffIds } = parseImageConfig(await registry.config(manifest, signal));
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
  const path = join(directory, "image.erofs");
  await pack(
    layers.map((_, index) => tarOf(index)),
    path,
    directory,
    options,
  );
  await store.add({ id: manifest.config.digest, config, path }, names);
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

async function pack(
  tars: readonly string[],
  path: string,
  directory: string,
  { packErofs, signal }: ImagePullOptions,
): Promise<void> {
  await using image = await flatten(tars, signal);
  // mkfs.erofs 1.8 does not notice when its temporary copy of a content finds the disk full. It
  // needs that copy and the result.
  await requireSpace(directory, 2 * image.contentBytes, "the packed image");
  await packErofs(image.tar(signal), path, signal);
}
