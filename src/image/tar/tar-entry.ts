// SPDX-License-Identifier: Apache-2.0

/**
 * Tar archives as image layers use them: POSIX ustar and pax, GNU's long names, old v7. Written
 * here and not taken from a library because names and extended attributes are bytes, not text: a
 * file capability that went through UTF-8 is destroyed. Strings of names hold one byte a character
 * (latin1).
 */

export const BLOCK_BYTES = 512;

export type TarEntryType =
  | "file"
  /** Another name of a file that came before. */
  | "link"
  | "symlink"
  | "character-device"
  | "block-device"
  | "directory"
  | "fifo";

/** Extended attributes by name. */
export type Attributes = ReadonlyMap<string, Uint8Array>;

export interface TarEntry {
  readonly type: TarEntryType;
  /** As in the archive, one byte a character. */
  readonly path: string;
  /** Target of a link or symlink, else "". */
  readonly linkPath: string;
  /** The lower 12 bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Whole seconds since the epoch, rounded down; may be negative. */
  readonly mtime: number;
  /** 0 … 999999999, added to `mtime`. */
  readonly mtimeNanoseconds: number;
  /** Bytes of content; 0 for everything but files. */
  readonly size: number;
  /** Where the content starts in the archive. */
  readonly offset: number;
  readonly major: number;
  readonly minor: number;
  readonly attributes: Attributes;
}

export const NO_ATTRIBUTES: Attributes = new Map();

/** Bytes that fill a content up to whole blocks. */
export function paddingOf(size: number): number {
  return (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES;
}
