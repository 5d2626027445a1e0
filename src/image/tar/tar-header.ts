// SPDX-License-Identifier: Apache-2.0
import { BLOCK_BYTES } from "./tar-entry.ts";

/** The fields of one header block, before extended headers change them. */
export interface TarHeader {
  /** Type flag as a character; "\0" of old archives is "0". */
  readonly flag: string;
  readonly path: string;
  readonly linkPath: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly major: number;
  readonly minor: number;
}

/** Why a block is no header. */
export class TarHeaderError extends Error {}

const CHECKSUM_OFFSET = 148;
const CHECKSUM_BYTES = 8;

/** Reads a header block; undefined for a block of zeros, the end of an archive. */
export function parseHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  checkSum(block);
  const magic = block.toString("latin1", 257, 263);
  const isPosix = magic === "ustar\0";
  const isGnu = magic === "ustar ";
  const devices = isPosix || isGnu;
  const flag = String.fromCharCode(block[156] ?? 0);
  return {
    flag: flag === "\0" ? "0" : flag,
    path: isPosix ? withPrefix(block) : text(block, 0, 100),
    linkPath: text(block, 157, 100),
    mode: number(block, 100, 8, "mode"),
    uid: number(block, 108, 8, "uid"),
    gid: number(block, 116, 8, "gid"),
    size: number(block, 124, 12, "size"),
    mtime: number(block, 136, 12, "mtime"),
    major: devices ? number(block, 329, 8, "major") : 0,
    minor: devices ? number(block, 337, 8, "minor") : 0,
  };
}

/** Sums of bytes with the checksum itself as spaces; old tars summed signed bytes. */
function checkSum(block: Buffer): void {
  let unsigned = 0;
  let signed = 0;
  for (let index = 0; index < BLOCK_BYTES; index += 1) {
    const own = index >= CHECKSUM_OFFSET && index < CHECKSUM_OFFSET + CHECKSUM_BYTES;
    const byte = own ? 0x20 : (block[index] ?? 0);
    unsigned += byte;
    signed += byte > 127 ? byte - 256 : byte;
  }
  const written = number(block, CHECKSUM_OFFSET, CHECKSUM_BYTES, "checksum");
  if (written !== unsigned && written !== signed) throw new TarHeaderError("wrong checksum");
}

function withPrefix(block: Buffer): string {
  // The star variant keeps times in the end of the prefix.
  const isStar = block.toString("latin1", 508, 512) === "tar\0";
  const prefix = text(block, 345, isStar ? 131 : 155);
  const name = text(block, 0, 100);
  return prefix === "" ? name : `${prefix}/${name}`;
}

function text(block: Buffer, start: number, length: number): string {
  const field = block.subarray(start, start + length);
  const end = field.indexOf(0);
  return field.toString("latin1", 0, end < 0 ? length : end);
}

function number(block: Buffer, start: number, length: number, name: string): number {
  const field = block.subarray(start, start + length);
  const first = field[0] ?? 0;
  if (first >= 0x80) return base256(field, name);
  const digits = field
    .toString("latin1")
    .replace(/^[ \0]+/, "")
    .replace(/[ \0].*$/s, "");
  if (!/^[0-7]*$/.test(digits)) throw new TarHeaderError(`${name} is not a number`);
  const value = digits === "" ? 0 : Number.parseInt(digits, 8);
  if (!Number.isSafeInteger(value)) throw new TarHeaderError(`${name} is out of range`);
  return value;
}

/** GNU's way to write numbers that octal digits cannot hold: big endian, two's complement. */
function base256(field: Buffer, name: string): number {
  const negative = field[0] === 0xff;
  if (!negative && field[0] !== 0x80) throw new TarHeaderError(`${name} is out of range`);
  let value = negative ? -1n : 0n;
  for (const byte of field.subarray(1)) value = (value << 8n) | BigInt(byte);
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw new TarHeaderError(`${name} is out of range`);
  return result;
}
