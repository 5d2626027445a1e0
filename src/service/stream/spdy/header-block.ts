// SPDX-License-Identifier: Apache-2.0
import { constants, deflateRawSync, inflateRawSync } from "node:zlib";
import { LightvmError } from "../../../shared/errors.ts";
import { SPDY_DICTIONARY } from "./dictionary.ts";

// All header blocks of one direction are one zlib stream, which is flushed to a byte boundary after
// each block: a two-byte zlib header, the dictionary's checksum, then blocks of raw deflate. A block
// may refer to 32 KiB of what was said before. Given that as the dictionary, each can be inflated by
// itself, at once and within a limit. What we send refers to nothing.

export type Headers = ReadonlyMap<string, string>;

/** deflate's window. */
const WINDOW_BYTES = 32 * 1024;
/** Of one block, decompressed. */
const MAX_BLOCK_BYTES = 16 * 1024;
const MAX_HEADERS = 64;

/** RFC 1950: deflate with a 32 KiB window and a preset dictionary; then that one's Adler-32. */
const ZLIB_HEADER = Buffer.from([0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2]);

/** Reads the header blocks of one connection, in the order in which they came. */
export class HeaderDecoder {
  #started = false;
  #window: Buffer = SPDY_DICTIONARY;

  /** Throws "invalid-argument" for what is no header block; the connection is then useless. */
  decode(block: Buffer): Headers {
    const text = this.#inflate(this.#started ? block : withoutZlibHeader(block));
    this.#started = true;
    this.#window = Buffer.from(Buffer.concat([this.#window, text]).subarray(-WINDOW_BYTES));
    return parse(text);
  }

  #inflate(deflated: Buffer): Buffer {
    try {
      return inflateRawSync(deflated, {
        dictionary: this.#window,
        finishFlush: constants.Z_SYNC_FLUSH,
        maxOutputLength: MAX_BLOCK_BYTES,
      });
    } catch (cause) {
      throw malformed("it cannot be decompressed", cause);
    }
  }
}

/** Writes the header blocks of one connection. */
export class HeaderEncoder {
  #started = false;

  encode(headers: Headers): Buffer {
    const deflated = deflateRawSync(serialize(headers), { finishFlush: constants.Z_SYNC_FLUSH });
    if (this.#started) return deflated;
    this.#started = true;
    return Buffer.concat([ZLIB_HEADER, deflated]);
  }
}

function withoutZlibHeader(block: Buffer): Buffer {
  const method = block.length < ZLIB_HEADER.length ? undefined : block.readUInt8(0) & 0x0f;
  const sum = block.length < ZLIB_HEADER.length ? 1 : block.readUInt16BE(0) % 31;
  const preset = block.length >= ZLIB_HEADER.length && (block.readUInt8(1) & 0x20) !== 0;
  if (method !== 8 || sum !== 0 || !preset) throw malformed("it does not begin as zlib does");
  const dictionary = block.subarray(2, ZLIB_HEADER.length);
  if (!dictionary.equals(ZLIB_HEADER.subarray(2))) throw malformed("its dictionary is another");
  return block.subarray(ZLIB_HEADER.length);
}

function parse(text: Buffer): Headers {
  let at = 0;
  const number = () => {
    if (at + 4 > text.length) throw malformed("it ends early");
    at += 4;
    return text.readUInt32BE(at - 4);
  };
  const word = () => {
    const length = number();
    if (length > text.length - at) throw malformed("it ends early");
    at += length;
    return text.toString("latin1", at - length, at);
  };
  const count = number();
  if (count > MAX_HEADERS) throw malformed(`it has ${count} headers`);
  const headers = new Map<string, string>();
  for (let index = 0; index < count; index += 1) {
    const name = word();
    const value = word();
    if (name === "" || name !== name.toLowerCase()) throw malformed("a name is not in lower case");
    if (headers.has(name)) throw malformed(`"${name}" comes twice`);
    headers.set(name, value);
  }
  if (at !== text.length) throw malformed("something follows it");
  return headers;
}

function serialize(headers: Headers): Buffer {
  const number = (value: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(value);
    return bytes;
  };
  const word = (value: string) => {
    const bytes = Buffer.from(value, "latin1");
    return [number(bytes.length), bytes];
  };
  const pairs = [...headers].flatMap(([name, value]) => [...word(name), ...word(value)]);
  return Buffer.concat([number(headers.size), ...pairs]);
}

function malformed(what: string, cause?: unknown): LightvmError {
  return new LightvmError("invalid-argument", `a SPDY header block is malformed: ${what}`, {
    cause,
  });
}
