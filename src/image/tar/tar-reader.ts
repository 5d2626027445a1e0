// SPDX-License-Identifier: Apache-2.0
import type { FileHandle } from "node:fs/promises";
import { LightvmError } from "../../shared/errors.ts";
import { parsePax } from "./pax.ts";
import {
  type Attributes,
  BLOCK_BYTES,
  NO_ATTRIBUTES,
  paddingOf,
  type TarEntry,
  type TarEntryType,
} from "./tar-entry.ts";
import { parseHeader, type TarHeader, TarHeaderError } from "./tar-header.ts";

/** Largest extended header: room for some extended attributes of the largest size. */
const MAX_EXTENSION_BYTES = 1024 * 1024;
const WINDOW_BYTES = 256 * 1024;
const MAX_ID = 0xffff_ffff;
/** Linux has 12 bits for a device's major number and 20 for the minor one. */
const MAX_MAJOR = 0xfff;
const MAX_MINOR = 0xf_ffff;
const ATTRIBUTE_PREFIX = "SCHILY.xattr.";

const TYPES: Readonly<Record<string, TarEntryType>> = {
  "0": "file",
  "1": "link",
  "2": "symlink",
  "3": "character-device",
  "4": "block-device",
  "5": "directory",
  "6": "fifo",
  "7": "file",
};

/** What extended headers say about the entry that follows them. */
interface Extensions {
  longPath?: string;
  longLink?: string;
  pax: Map<string, Buffer>;
}

/**
 * Reads the entries of an archive, not their contents: those stay in the file at `offset`.
 * Throws "data-loss" for what is no tar, "unimplemented" for sparse files and other rarities.
 */
export async function* readTar(
  file: FileHandle,
  size: number,
  what: string,
): AsyncGenerator<TarEntry> {
  const window = new Window(file, size, what);
  let extensions: Extensions = { pax: new Map() };
  for (let position = 0; position < size; ) {
    const header = headerAt(await window.read(position, BLOCK_BYTES), position, what);
    if (header === undefined) return;
    const body = position + BLOCK_BYTES;
    const where = `${what}, at byte ${position}`;
    if ("xgLK".includes(header.flag)) {
      if (header.size > MAX_EXTENSION_BYTES || header.size < 0) {
        throw malformed(where, "an extended header is too large");
      }
      addExtension(extensions, header.flag, await window.read(body, header.size), where);
      position = body + header.size + paddingOf(header.size);
      continue;
    }
    const entry = toEntry(header, extensions, body, where);
    extensions = { pax: new Map() };
    position = body + entry.size + paddingOf(entry.size);
    if (body + entry.size > size) throw malformed(where, "the content ends early");
    yield entry;
  }
}

function headerAt(block: Buffer, position: number, what: string): TarHeader | undefined {
  try {
    return parseHeader(block);
  } catch (error) {
    if (!(error instanceof TarHeaderError)) throw error;
    throw malformed(`${what}, at byte ${position}`, error.message);
  }
}

function addExtension(extensions: Extensions, flag: string, bytes: Buffer, where: string): void {
  // Global headers hold comments in practice; no runtime applies them to image layers.
  if (flag === "g") return;
  if (flag === "L") extensions.longPath = untilZero(bytes);
  if (flag === "K") extensions.longLink = untilZero(bytes);
  if (flag !== "x") return;
  const records = parsePax(bytes);
  if (records === undefined) throw malformed(where, "the pax records are damaged");
  for (const [key, value] of records) extensions.pax.set(key, value);
}

function untilZero(bytes: Buffer): string {
  const end = bytes.indexOf(0);
  return bytes.toString("latin1", 0, end < 0 ? bytes.length : end);
}

function toEntry(
  header: TarHeader,
  { longPath, longLink, pax }: Extensions,
  offset: number,
  where: string,
): TarEntry {
  const path = paxText(pax, "path") ?? longPath ?? header.path;
  const type = typeOf(header, path, pax, where);
  const mtime = paxTime(pax, where) ?? { seconds: header.mtime, nanoseconds: 0 };
  const content = paxNumber(pax, "size", where) ?? header.size;
  const isDevice = type === "character-device" || type === "block-device";
  const isLink = type === "link" || type === "symlink";
  return {
    type,
    path,
    linkPath: isLink ? (paxText(pax, "linkpath") ?? longLink ?? header.linkPath) : "",
    mode: header.mode & 0o7777,
    uid: within(paxNumber(pax, "uid", where) ?? header.uid, MAX_ID, "uid", where),
    gid: within(paxNumber(pax, "gid", where) ?? header.gid, MAX_ID, "gid", where),
    mtime: mtime.seconds,
    mtimeNanoseconds: mtime.nanoseconds,
    // Only files have content; what others write into the field is a comment.
    size: type === "file" ? within(content, Number.MAX_SAFE_INTEGER, "size", where) : 0,
    offset,
    major: isDevice ? within(header.major, MAX_MAJOR, "major", where) : 0,
    minor: isDevice ? within(header.minor, MAX_MINOR, "minor", where) : 0,
    attributes: attributesOf(pax),
  };
}

function typeOf(
  header: TarHeader,
  path: string,
  pax: ReadonlyMap<string, Buffer>,
  where: string,
): TarEntryType {
  for (const key of pax.keys()) {
    if (key.startsWith("GNU.sparse.")) throw unimplemented(where, "a sparse file");
  }
  const type = TYPES[header.flag];
  if (type === undefined) {
    throw unimplemented(where, `an entry of type ${JSON.stringify(header.flag)}`);
  }
  // Tars from before directories had a type of their own wrote them so.
  return type === "file" && path.endsWith("/") ? "directory" : type;
}

function paxText(pax: ReadonlyMap<string, Buffer>, key: string): string | undefined {
  const value = pax.get(key);
  return value === undefined || value.length === 0 ? undefined : value.toString("latin1");
}

function paxNumber(
  pax: ReadonlyMap<string, Buffer>,
  key: string,
  where: string,
): number | undefined {
  const text = paxText(pax, key);
  if (text === undefined) return undefined;
  if (!/^\d{1,16}$/.test(text)) throw malformed(where, `the ${key} is not a number`);
  return Number(text);
}

function paxTime(
  pax: ReadonlyMap<string, Buffer>,
  where: string,
): { seconds: number; nanoseconds: number } | undefined {
  const text = paxText(pax, "mtime");
  if (text === undefined) return undefined;
  const [, sign, whole = "", fraction = ""] = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text) ?? [];
  if (sign === undefined) throw malformed(where, "the mtime is not a number");
  const nanoseconds = Number(fraction.slice(0, 9).padEnd(9, "0"));
  if (sign === "") return { seconds: Number(whole), nanoseconds };
  if (nanoseconds === 0) return { seconds: 0 - Number(whole), nanoseconds: 0 };
  return { seconds: -1 - Number(whole), nanoseconds: 1_000_000_000 - nanoseconds };
}

function attributesOf(pax: ReadonlyMap<string, Buffer>): Attributes {
  const attributes = new Map<string, Uint8Array>();
  for (const [key, value] of pax) {
    if (key.startsWith(ATTRIBUTE_PREFIX)) attributes.set(key.slice(ATTRIBUTE_PREFIX.length), value);
  }
  return attributes.size === 0 ? NO_ATTRIBUTES : attributes;
}

function within(value: number, maximum: number, name: string, where: string): number {
  if (value >= 0 && value <= maximum) return value;
  throw malformed(where, `the ${name} ${value} is out of range`);
}

function malformed(where: string, why: string): LightvmError {
  return new LightvmError("data-loss", `${where} is malformed: ${why}`);
}

function unimplemented(where: string, what: string): LightvmError {
  return new LightvmError("unimplemented", `${where} is ${what}, which is not read here`);
}

/** Reads a file in large pieces for a reader of many small ones. */
class Window {
  readonly #file: FileHandle;
  readonly #size: number;
  readonly #what: string;
  #bytes: Buffer = Buffer.alloc(0);
  #start = 0;

  constructor(file: FileHandle, size: number, what: string) {
    this.#file = file;
    this.#size = size;
    this.#what = what;
  }

  /** The bytes are good until the next read. */
  async read(position: number, length: number): Promise<Buffer> {
    if (position + length > this.#size) throw malformed(this.#what, "it ends early");
    const from = position - this.#start;
    if (from >= 0 && from + length <= this.#bytes.length) {
      return this.#bytes.subarray(from, from + length);
    }
    const wanted = Math.min(Math.max(length, WINDOW_BYTES), this.#size - position);
    const bytes = await readFully(this.#file, position, wanted);
    this.#bytes = bytes;
    this.#start = position;
    return bytes.subarray(0, length);
  }
}

/** Reads exactly so many bytes of a file that is known to have them. */
export async function readFully(
  file: FileHandle,
  position: number,
  length: number,
): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  for (let done = 0; done < length; ) {
    const { bytesRead } = await file.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) {
      throw new LightvmError("internal", "an unpacked layer became shorter while it was read");
    }
    done += bytesRead;
  }
  return bytes;
}
