// SPDX-License-Identifier: Apache-2.0

/** One repository of a registry, as a pull sees it. */
import type { Descriptor, ImageManifest } from "./manifest.ts";

/** The rest of a blob. */
export interface BlobBody {
  /** Where `chunks` starts in the blob: the offset asked for, or 0 if the server cannot do that. */
  readonly offset: number;
  /**
   * Exactly the bytes from `offset` to the descriptor's size, or it throws: "unavailable" (cut off
   * or silent; go on at what came so far), "data-loss" (longer than the descriptor says),
   * "cancelled". The digest is for the reader to verify, who alone saw what came before. Leaving
   * the loop early closes the connection.
   */
  readonly chunks: AsyncIterable<Uint8Array>;
}

export interface Registry extends Disposable {
  /**
   * Looks the reference up and follows an index to the image for linux/amd64. Everything is
   * verified against its digest. Throws "not-found", "unauthenticated", "unavailable", "data-loss",
   * "unimplemented" (no such platform, no image, schema 1), "cancelled".
   */
  image(signal?: AbortSignal): Promise<ImageManifest>;
  /** The image's configuration, whole (at most 4 MiB) and verified. Throws as `image` does. */
  config(manifest: ImageManifest, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Opens a blob at `offset` (0 ≤ offset ≤ size). Throws as `image` does. `signal` also ends the
   * reading of the body.
   */
  blob(descriptor: Descriptor, offset: number, signal?: AbortSignal): Promise<BlobBody>;
  /** Closes all connections, bodies that are still being read included. */
  [Symbol.dispose](): void;
}
