// SPDX-License-Identifier: Apache-2.0
import type { Duplex, Readable, Writable } from "node:stream";
import { finished, pipeline } from "node:stream/promises";

/**
 * Passes a client's input on to the guest, as fast as that takes it, and the end of it. Input that
 * the guest takes no more is dropped: it says nothing about how the command ends. Resolves when no
 * more will be passed on.
 */
export async function carryInput(source: Readable, guest: Duplex): Promise<void> {
  source.pipe(guest);
  guest.resume();
  try {
    await finished(guest, { readable: false });
  } catch {
    // The process, or whoever gave the input, is gone.
  }
  source.unpipe(guest);
  source.resume();
}

/**
 * Passes output of the guest on to a client, as fast as that takes it, and the end of it. When the
 * client takes no more, the guest is told. Resolves when all is done, or can't be.
 */
export async function carryOutput(guest: Duplex, sink: Writable): Promise<void> {
  try {
    await pipeline(guest, sink);
  } catch {
    // One of them is gone, and pipeline has closed the other.
  }
  guest.destroy();
}
