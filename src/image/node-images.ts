// SPDX-License-Identifier: Apache-2.0
import type { Config } from "../shared/config.ts";
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import { throwIfCancelled } from "../shared/wait.ts";
import type { PackErofs } from "./erofs.ts";
import { pullImage } from "./image-pull.ts";
import type { ImageNames, ImageStore } from "./image-store.ts";
import type { Image, ImageFsInfo, Images, PulledImage, PullOptions } from "./images.ts";
import { fullName, parseReference, type Reference, repoDigest, repoTag } from "./reference.ts";
import type { ImageManifest } from "./registry/manifest.ts";
import { openRegistry } from "./registry/registry.ts";
import { SharedWork } from "./shared-work.ts";

export interface NodeImagesOptions {
  readonly config: Config["image"];
  readonly logger: Logger;
  readonly store: ImageStore;
  readonly packErofs: PackErofs;
}

/** A whole id, or at least 12 digits of one, which is how many crictl prints. */
const idPattern = /^(?:sha256:)?([0-9a-f]{12,64})$/;

/** The images of this node: what is in the store, and what the registries can add to it. */
export class NodeImages implements Images {
  readonly #config: Config["image"];
  readonly #logger: Logger;
  readonly #packErofs: PackErofs;
  readonly #store: ImageStore;
  /** By manifest digest: what is shared is exactly the same content. */
  readonly #pulls = new SharedWork<void>();

  constructor(options: NodeImagesOptions) {
    this.#config = options.config;
    this.#logger = options.logger;
    this.#packErofs = options.packErofs;
    this.#store = options.store;
  }

  async pull(text: string, options: PullOptions = {}): Promise<PulledImage> {
    throwIfCancelled(options.signal, `pulling ${text}`);
    const reference = parseReference(text);
    if (reference.digest !== undefined) {
      const known = this.#store.getByName(repoDigest(reference, reference.digest));
      if (known !== undefined) return known;
    }
    // Each caller asks the registry with its own credentials: one who may not pull shares nothing.
    const manifest = await this.#manifest(reference, options);
    const names = {
      tag: repoTag(reference),
      digest: repoDigest(reference, manifest.referenceDigest),
    };
    const id = manifest.config.digest;
    if (!idPattern.test(id)) {
      throw new LightvmError("unimplemented", `${text} has an id that is no sha256 digest`);
    }
    if (!this.#store.addNames(id, names)) await this.#bring(reference, manifest, names, options);
    const image = this.#store.get(id);
    if (image === undefined) {
      throw new LightvmError("unavailable", `${text} was removed while it was pulled`);
    }
    return image;
  }

  get(referenceOrId: string): Image | undefined {
    const id = idPattern.exec(referenceOrId)?.[1];
    const byId = id === undefined ? undefined : this.#store.getByIdPrefix(`sha256:${id}`);
    if (byId !== undefined) return byId;
    const name = nameOf(referenceOrId);
    return name === undefined ? undefined : this.#store.getByName(name);
  }

  list(referenceOrId?: string): readonly Image[] {
    if (referenceOrId === undefined) return this.#store.list();
    const image = this.get(referenceOrId);
    return image === undefined ? [] : [image];
  }

  async remove(referenceOrId: string): Promise<void> {
    const image = this.get(referenceOrId);
    if (image === undefined) return;
    const name = nameOf(referenceOrId);
    if (name !== undefined && image.repoTags.includes(name) && image.repoTags.length > 1) {
      this.#store.removeName(name);
      return;
    }
    await this.#store.remove(image);
    this.#logger.info({ image: image.id }, "image removed");
  }

  fsInfo(): Promise<ImageFsInfo> {
    return this.#store.fsInfo();
  }

  async #manifest(reference: Reference, options: PullOptions): Promise<ImageManifest> {
    using registry = openRegistry(this.#config, reference, options.credentials);
    return await registry.image(options.signal);
  }

  async #bring(
    reference: Reference,
    manifest: ImageManifest,
    names: ImageNames,
    { credentials, signal }: PullOptions,
  ): Promise<void> {
    const store = this.#store;
    const what = `pulling ${names.tag ?? names.digest}`;
    await this.#pulls.run(manifest.digest, what, signal, async (shared) => {
      const started = performance.now();
      using registry = openRegistry(this.#config, reference, credentials);
      const packErofs = this.#packErofs;
      await pullImage({ registry, manifest, names, store, packErofs, signal: shared });
      const milliseconds = Math.round(performance.now() - started);
      this.#logger.info({ image: manifest.config.digest, ...names, milliseconds }, "image pulled");
    });
    // A caller that joined brings its own names.
    store.addNames(manifest.config.digest, names);
  }
}

/** The full name under which a reference would be known here; undefined when it is none. */
function nameOf(text: string): string | undefined {
  let reference: Reference;
  try {
    reference = parseReference(text);
  } catch (error) {
    if (error instanceof LightvmError && error.code === "invalid-argument") return undefined;
    throw error;
  }
  if (reference.digest !== undefined) return repoDigest(reference, reference.digest);
  return repoTag(reference) ?? fullName(reference);
}
