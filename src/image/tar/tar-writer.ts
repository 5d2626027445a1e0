// SPDX-License-Identifier: Apache-2.0
import { encodePax } from "./pax.ts";
import { BLOCK_BYTES, paddingOf, type TarEntry, type TarEntryType } from "./tar-entry.ts";

const FLAGS: Readonly<Record<TarEntryType, string>> = {
  file: "0",
  link: "1",
  symlink: "2",
  "character-device": "3",
  "block-device": "4",
  directory: "5",
  fifo: "6",
};
const MAX_NAME_BYTES = 100;
const MAX_OCTAL_7 = 0o7777777;
const MAX_OCTAL_11 = 0o77777777777;
/** Stands in the header where the real value is in the pax records. */
const PAX_HEADER_NAME = "PaxHeader";

/** Two blocks of zeros. */
export const TAR_END: Uint8Array = Buffer.alloc(2 * BLOCK_BYTES);

export type WritableEntry = Omit<TarEntry, "offset">;

/**
 * The header blocks of an entry. The modification time is always in a pax record: mkfs.erofs takes
 * its nanoseconds from memory that nobody has set when there is none.
 */
export function encodeEntry(entry: WritableEntry): Buffer {
  const records = encodePax(paxRecords(entry));
  const pax = headerBlock({
    name: PAX_HEADER_NAME,
    flag: "x",
    mode: 0,
    uid: 0,
    gid: 0,
    size: records.length,
    mtime: 0,
    linkName: "",
    major: 0,
    minor: 0,
  });
  const own = headerBlock({
    // An empty name would look like the end of the archive, so long ones are cut, not left out.
    name: entry.path.slice(0, MAX_NAME_BYTES),
    flag: FLAGS[entry.type],
    mode: entry.mode,
    uid: entry.uid > MAX_OCTAL_7 ? 0 : entry.uid,
    gid: entry.gid > MAX_OCTAL_7 ? 0 : entry.gid,
    size: entry.size > MAX_OCTAL_11 ? 0 : entry.size,
    mtime: entry.mtime < 0 || entry.mtime > MAX_OCTAL_11 ? 0 : entry.mtime,
    linkName: entry.linkPath.slice(0, MAX_NAME_BYTES),
    major: entry.major,
    minor: entry.minor,
  });
  return Buffer.concat([pax, records, Buffer.alloc(paddingOf(records.length)), own]);
}

function* paxRecords(entry: WritableEntry): Generator<readonly [string, Uint8Array]> {
  const bytes = (text: string) => Buffer.from(text, "latin1");
  yield ["mtime", bytes(timeText(entry))];
  if (entry.path.length > MAX_NAME_BYTES) yield ["path", bytes(entry.path)];
  if (entry.linkPath.length > MAX_NAME_BYTES) yield ["linkpath", bytes(entry.linkPath)];
  if (entry.uid > MAX_OCTAL_7) yield ["uid", bytes(String(entry.uid))];
  if (entry.gid > MAX_OCTAL_7) yield ["gid", bytes(String(entry.gid))];
  if (entry.size > MAX_OCTAL_11) yield ["size", bytes(String(entry.size))];
  for (const [name, value] of entry.attributes) yield [`SCHILY.xattr.${name}`, value];
}

/** Times before 1970 lose their fraction: readers disagree on what it means there. */
function timeText({ mtime, mtimeNanoseconds }: WritableEntry): string {
  if (mtimeNanoseconds === 0 || mtime < 0) return String(mtime);
  return `${mtime}.${String(mtimeNanoseconds).padStart(9, "0")}`;
}

interface HeaderFields {
  readonly name: string;
  readonly flag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly linkName: string;
  readonly major: number;
  readonly minor: number;
}

function headerBlock(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, offset: number, digits: number) =>
    block.write(value.toString(8).padStart(digits, "0"), offset, "latin1");
  block.write(fields.name, 0, MAX_NAME_BYTES, "latin1");
  octal(fields.mode, 100, 7);
  octal(fields.uid, 108, 7);
  octal(fields.gid, 116, 7);
  octal(fields.size, 124, 11);
  octal(fields.mtime, 136, 11);
  block.write(fields.flag, 156, "latin1");
  block.write(fields.linkName, 157, MAX_NAME_BYTES, "latin1");
  block.write("ustar\u000000", 257, "latin1");
  octal(fields.major, 329, 7);
  octal(fields.minor, 337, 7);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return block;
}
