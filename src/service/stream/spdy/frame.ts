// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../../shared/errors.ts";

// SPDY/3.1, section 2.2. Every frame has a header of eight bytes:
//
//   control  1 | version (15) | type (16) | flags (8) | length (24) | fields of the type
//   data     0 | stream id (31)           | flags (8) | length (24) | bytes of the stream

/** One frame, or of a data frame, one piece as it came: `fin` is set on the last. */
export type Frame =
  | {
      readonly type: "syn-stream";
      readonly streamId: number;
      readonly fin: boolean;
      /** Compressed name/value pairs; see header-block.ts. */
      readonly block: Buffer;
    }
  | {
      readonly type: "syn-reply" | "headers";
      readonly streamId: number;
      readonly fin: boolean;
      readonly block: Buffer;
    }
  | { readonly type: "rst-stream"; readonly streamId: number; readonly status: number }
  | { readonly type: "settings"; readonly settings: ReadonlyMap<number, number> }
  | { readonly type: "ping"; readonly id: number }
  | { readonly type: "go-away"; readonly lastStreamId: number; readonly status: number }
  | { readonly type: "window-update"; readonly streamId: number; readonly delta: number }
  | {
      readonly type: "data";
      readonly streamId: number;
      readonly fin: boolean;
      readonly bytes: Buffer;
    };

export const RST_PROTOCOL_ERROR = 1;
export const RST_INVALID_STREAM = 2;
export const RST_REFUSED_STREAM = 3;
export const RST_CANCEL = 5;
export const RST_FLOW_CONTROL_ERROR = 7;
export const SETTINGS_INITIAL_WINDOW_SIZE = 7;

const VERSION = 3;
const HEADER_BYTES = 8;
const FLAG_FIN = 1;
/** No control frame of a client of ours is longer than its few headers. */
const MAX_CONTROL_BYTES = 64 * 1024;

const TYPES = {
  1: "syn-stream",
  2: "syn-reply",
  3: "rst-stream",
  4: "settings",
  6: "ping",
  7: "go-away",
  8: "headers",
  9: "window-update",
} as const;
type ControlType = (typeof TYPES)[keyof typeof TYPES];

const NUMBERS = Object.fromEntries(
  Object.entries(TYPES).map(([number, type]) => [type, Number(number)]),
) as Record<ControlType, number>;

/** Cuts a byte stream into frames. Keeps what has come of one control frame, nothing else. */
export class FrameDecoder {
  #pending: Buffer = Buffer.alloc(0);
  /** The data frame whose bytes are on their way. */
  #data: { streamId: number; fin: boolean; left: number } | undefined;

  /**
   * Takes the next bytes and returns the frames that they bring; frames of an unknown type are
   * skipped, as the protocol demands. Throws "invalid-argument" for what is no SPDY/3.1.
   */
  *push(chunk: Buffer): Generator<Frame> {
    let rest = this.#pending.length === 0 ? chunk : Buffer.concat([this.#pending, chunk]);
    this.#pending = Buffer.alloc(0);
    while (rest.length > 0 || this.#data?.left === 0) {
      if (this.#data !== undefined) {
        const { streamId, fin, left } = this.#data;
        const bytes = rest.subarray(0, left);
        rest = rest.subarray(bytes.length);
        this.#data =
          bytes.length === left ? undefined : { streamId, fin, left: left - bytes.length };
        yield { type: "data", streamId, fin: fin && this.#data === undefined, bytes };
        continue;
      }
      const taken = this.#startFrame(rest);
      if (taken === undefined) {
        // A copy: the chunk may be large, and its buffer is not ours to keep.
        this.#pending = Buffer.from(rest);
        return;
      }
      rest = rest.subarray(taken.length);
      if (taken.frame !== undefined) yield taken.frame;
    }
  }

  /** A whole control frame, or the header of a data frame; undefined when that has not come yet. */
  #startFrame(bytes: Buffer): { length: number; frame?: Frame | undefined } | undefined {
    if (bytes.length < HEADER_BYTES) return undefined;
    const word = bytes.readUInt32BE(0);
    const flags = bytes.readUInt8(4);
    const length = bytes.readUIntBE(5, 3);
    if (word < 0x8000_0000) {
      this.#data = { streamId: word, fin: (flags & FLAG_FIN) !== 0, left: length };
      return { length: HEADER_BYTES };
    }
    const version = (word >>> 16) & 0x7fff;
    if (version !== VERSION) throw malformed(`version ${version}, not ${VERSION}`);
    if (length > MAX_CONTROL_BYTES) throw malformed(`a control frame of ${length} bytes`);
    const end = HEADER_BYTES + length;
    if (bytes.length < end) return undefined;
    const type = TYPES[(word & 0xffff) as keyof typeof TYPES] as ControlType | undefined;
    if (type === undefined) return { length: end };
    return { length: end, frame: decodeControl(type, flags, bytes.subarray(HEADER_BYTES, end)) };
  }
}

function decodeControl(type: ControlType, flags: number, body: Buffer): Frame {
  const fin = (flags & FLAG_FIN) !== 0;
  switch (type) {
    case "syn-stream":
      require(body, 10, type);
      return { type, streamId: streamId(body), fin, block: Buffer.from(body.subarray(10)) };
    case "syn-reply":
    case "headers":
      require(body, 4, type);
      return { type, streamId: streamId(body), fin, block: Buffer.from(body.subarray(4)) };
    case "rst-stream":
      require(body, 8, type);
      return { type, streamId: streamId(body), status: body.readUInt32BE(4) };
    case "settings":
      return { type, settings: decodeSettings(body) };
    case "ping":
      require(body, 4, type);
      return { type, id: body.readUInt32BE(0) };
    case "go-away":
      require(body, 8, type);
      return { type, lastStreamId: streamId(body), status: body.readUInt32BE(4) };
    case "window-update":
      require(body, 8, type);
      return { type, streamId: streamId(body), delta: body.readUInt32BE(4) & 0x7fff_ffff };
  }
}

function decodeSettings(body: Buffer): Map<number, number> {
  require(body, 4, "settings");
  const count = body.readUInt32BE(0);
  if (body.length !== 4 + 8 * count) throw malformed(`settings that are no ${count} entries`);
  const settings = new Map<number, number>();
  for (let at = 4; at < body.length; at += 8) {
    settings.set(body.readUIntBE(at + 1, 3), body.readUInt32BE(at + 4));
  }
  return settings;
}

function streamId(body: Buffer): number {
  return body.readUInt32BE(0) & 0x7fff_ffff;
}

function require(body: Buffer, bytes: number, type: ControlType): void {
  if (body.length < bytes) throw malformed(`a ${type} frame of ${body.length} bytes`);
}

function malformed(what: string): LightvmError {
  return new LightvmError("invalid-argument", `the client does not speak SPDY/3.1: ${what}`);
}

/** The bytes of a frame. Data of more than 16 MiB does not fit into one. */
export function encodeFrame(frame: Frame): Buffer {
  switch (frame.type) {
    case "data":
      return Buffer.concat([encodeDataHeader(frame, frame.bytes.length), frame.bytes]);
    case "syn-stream": {
      // Associated stream, priority and slot: none.
      const fields = [word(frame.streamId), Buffer.alloc(6), frame.block];
      return control(frame.type, frame.fin ? FLAG_FIN : 0, fields);
    }
    case "syn-reply":
    case "headers":
      return control(frame.type, frame.fin ? FLAG_FIN : 0, [word(frame.streamId), frame.block]);
    case "rst-stream":
      return control(frame.type, 0, [word(frame.streamId), word(frame.status)]);
    case "settings": {
      const entries = [...frame.settings].flatMap(([id, value]) => [word(id), word(value)]);
      return control(frame.type, 0, [word(frame.settings.size), ...entries]);
    }
    case "ping":
      return control(frame.type, 0, [word(frame.id)]);
    case "go-away":
      return control(frame.type, 0, [word(frame.lastStreamId), word(frame.status)]);
    case "window-update":
      return control(frame.type, 0, [word(frame.streamId), word(frame.delta)]);
  }
}

/** What goes before the bytes of a data frame: they need not be copied. */
export function encodeDataHeader(
  { streamId, fin }: { readonly streamId: number; readonly fin: boolean },
  length: number,
): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(streamId, 0);
  header.writeUInt8(fin ? FLAG_FIN : 0, 4);
  header.writeUIntBE(length, 5, 3);
  return header;
}

function control(type: ControlType, flags: number, fields: readonly Buffer[]): Buffer {
  const body = Buffer.concat(fields);
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(0x8000 | VERSION, 0);
  header.writeUInt16BE(NUMBERS[type], 2);
  header.writeUInt8(flags, 4);
  header.writeUIntBE(body.length, 5, 3);
  return Buffer.concat([header, body]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}
