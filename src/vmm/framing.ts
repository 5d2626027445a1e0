// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";

/** Longest message that either side accepts, in bytes (vmm.proto, "Framing of messages"). */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** Size of the length before each message. */
export const LENGTH_BYTES = 4;

/** One message as it goes over the wire: a four-byte little-endian length, then its bytes. */
export function encodeFrame(message: Uint8Array): Buffer {
  if (message.length > MAX_MESSAGE_BYTES) {
    throw new LightvmError(
      "invalid-argument",
      `a message of ${message.length} bytes is longer than the protocol's ${MAX_MESSAGE_BYTES}`,
    );
  }
  const frame = Buffer.allocUnsafe(LENGTH_BYTES + message.length);
  frame.writeUInt32LE(message.length, 0);
  frame.set(message, LENGTH_BYTES);
  return frame;
}

/** Cuts a byte stream into messages. Holds what has come of the next message, nothing more. */
export class FrameDecoder {
  #chunks: Buffer[] = [];
  #buffered = 0;

  /** True when the stream may end here: no message has come in part. */
  get atBoundary(): boolean {
    return this.#buffered === 0;
  }

  /**
   * Takes the next bytes of the stream and returns the messages that they complete, in order.
   * Throws "data-loss" for a length that the protocol forbids: the stream is then useless.
   */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    const messages: Buffer[] = [];
    for (let message = this.#take(); message !== undefined; message = this.#take()) {
      messages.push(message);
    }
    return messages;
  }

  #take(): Buffer | undefined {
    if (this.#buffered < LENGTH_BYTES) return undefined;
    if ((this.#chunks[0]?.length ?? 0) < LENGTH_BYTES) this.#join();
    const length = this.#chunks[0]?.readUInt32LE(0) ?? 0;
    if (length > MAX_MESSAGE_BYTES) {
      throw new LightvmError(
        "data-loss",
        `the peer announced a message of ${length} bytes; the protocol allows ${MAX_MESSAGE_BYTES}`,
      );
    }
    const end = LENGTH_BYTES + length;
    if (this.#buffered < end) return undefined;
    const all = this.#join();
    this.#buffered -= end;
    this.#chunks = this.#buffered === 0 ? [] : [all.subarray(end)];
    return all.subarray(LENGTH_BYTES, end);
  }

  /** Makes one chunk out of all; called once a message, so a long message is copied once. */
  #join(): Buffer {
    const [only] = this.#chunks;
    const all = this.#chunks.length === 1 && only ? only : Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }
}
