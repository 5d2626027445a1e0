// SPDX-License-Identifier: Apache-2.0
import type { Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout } from "node:timers/promises";
import { LightvmError } from "../../shared/errors.ts";
import { hashFor, verifyHash } from "../registry/digest.ts";
import type { Descriptor } from "../registry/manifest.ts";
import type { Registry } from "../registry/registry.ts";
import { requireSpace, toLightvmError } from "./disk.ts";

/** Tries in a row that bring nothing. A try that brought bytes starts the count again. */
const MAX_BARREN_TRIES = 4;
/** All tries of one blob: a server that gives a byte a time does not keep a pull for ever. */
const MAX_TRIES = 50;
const FIRST_DELAY_MS = 200;

/**
 * Fetches a blob into a new file, verified: after a cut it goes on where it was, or from the start
 * where the server cannot do that. Throws as Registry.blob does, and "resource-exhausted".
 */
export async function fetchBlob(
  registry: Registry,
  descriptor: Descriptor,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const what = `fetching blob ${descriptor.digest}`;
  try {
    await requireSpace(dirname(path), descriptor.size, `blob ${descriptor.digest}`);
    await using file = await open(path, "wx", 0o600);
    const part = new PartialBlob(file, descriptor);
    await part.complete(registry, signal);
  } catch (error) {
    throw toLightvmError(error, what);
  }
}

/** What has come of a blob so far. */
class PartialBlob {
  readonly #file: FileHandle;
  readonly #descriptor: Descriptor;
  #hash: Hash;
  #length = 0;

  constructor(file: FileHandle, descriptor: Descriptor) {
    this.#file = file;
    this.#descriptor = descriptor;
    this.#hash = hashFor(descriptor.digest);
  }

  async complete(registry: Registry, signal: AbortSignal | undefined): Promise<void> {
    let barren = 0;
    for (let tries = 1; ; tries += 1) {
      const before = this.#length;
      try {
        await this.#goOn(registry, signal);
        break;
      } catch (error) {
        barren = this.#length > before ? 0 : barren + 1;
        const cut = error instanceof LightvmError && error.code === "unavailable";
        if (!cut || barren >= MAX_BARREN_TRIES || tries >= MAX_TRIES) throw error;
        await setTimeout(FIRST_DELAY_MS * 2 ** barren, undefined, { signal });
      }
    }
    verifyHash(this.#hash, this.#descriptor.digest, `blob ${this.#descriptor.digest}`);
  }

  async #goOn(registry: Registry, signal: AbortSignal | undefined): Promise<void> {
    const { offset, chunks } = await registry.blob(this.#descriptor, this.#length, signal);
    if (offset !== this.#length) {
      await this.#file.truncate(0);
      this.#hash = hashFor(this.#descriptor.digest);
      this.#length = 0;
    }
    for await (const chunk of chunks) {
      await writeFully(this.#file, chunk, this.#length);
      this.#hash.update(chunk);
      this.#length += chunk.length;
    }
  }
}

async function writeFully(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
