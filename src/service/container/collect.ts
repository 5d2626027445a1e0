// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";

/** What a stream has carried so far. */
export interface Collected {
  /** Resolves when no more will come, for whatever reason. */
  readonly ended: Promise<void>;
  bytes(): Buffer;
}

/** Reads a stream to its end, keeps the first `limit` bytes and drops the rest. */
export function collect(stream: Duplex, limit: number): Collected {
  const chunks: Buffer[] = [];
  let size = 0;
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  stream.on("data", (chunk: Buffer) => {
    const kept = chunk.subarray(0, limit - size);
    if (kept.length === 0) return;
    chunks.push(kept);
    size += kept.length;
  });
  stream.on("end", resolve);
  stream.on("close", resolve);
  // A broken stream ends there; how the command ended is told by its exit.
  stream.on("error", () => resolve());
  return { ended, bytes: () => Buffer.concat(chunks) };
}
