// SPDX-License-Identifier: Apache-2.0
//
// The guest's initial root: a newc cpio archive that the kernel unpacks into memory. The same agent
// gives the same bytes: times, owners and inode numbers are ours.
import { writeFile } from "node:fs/promises";

/** What an archive can hold. */
export type CpioEntry =
  | { readonly kind: "directory"; readonly path: string; readonly mode: number }
  | {
      readonly kind: "file";
      readonly path: string;
      readonly mode: number;
      readonly content: Uint8Array;
    }
  | {
      readonly kind: "character-device";
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

const TYPE_BITS = { directory: 0o040000, file: 0o100000, "character-device": 0o020000 } as const;
const TRAILER = "TRAILER!!!";
/** Every header with its name, and every content, ends at a multiple of this. */
const ALIGNMENT = 4;

/** Mount points of the agent, made here so that it finds them on a file system of any kind. */
const DIRECTORIES = ["dev", "proc", "sys", "run", "tmp"];

/** The archive with `agent` as the first process. */
export function makeInitramfs(agent: Uint8Array): Buffer {
  return makeCpio([
    ...DIRECTORIES.map((path): CpioEntry => ({ kind: "directory", path, mode: 0o755 })),
    // The kernel opens it for the first process's standard streams, before anything is mounted.
    { kind: "character-device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    { kind: "file", path: "init", mode: 0o755, content: agent },
  ]);
}

/** Writes the archive with `agent` as the first process to `file`. */
export async function buildInitramfs(agent: Uint8Array, file: string): Promise<void> {
  await writeFile(file, makeInitramfs(agent));
}

/** A newc archive of `entries`, in their order. Everything belongs to root and to the year 1970. */
export function makeCpio(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.flatMap((entry, index) => {
    const content = entry.kind === "file" ? entry.content : new Uint8Array();
    const [major, minor] = entry.kind === "character-device" ? [entry.major, entry.minor] : [0, 0];
    const header = makeHeader({
      inode: index + 1,
      mode: TYPE_BITS[entry.kind] | entry.mode,
      links: entry.kind === "directory" ? 2 : 1,
      size: content.length,
      major,
      minor,
      path: entry.path,
    });
    return [header, padded(content)];
  });
  const nothing = { inode: 0, mode: 0, links: 1, size: 0, major: 0, minor: 0 };
  return Buffer.concat([...parts, makeHeader({ ...nothing, path: TRAILER })]);
}

interface Header {
  readonly inode: number;
  readonly mode: number;
  readonly links: number;
  readonly size: number;
  readonly major: number;
  readonly minor: number;
  readonly path: string;
}

/** "070701", thirteen numbers of eight hexadecimal digits, the name with its final zero. */
function makeHeader({ inode, mode, links, size, major, minor, path }: Header): Uint8Array {
  const name = Buffer.from(`${path}\0`);
  const [uid, gid, time, deviceMajor, deviceMinor, checksum] = [0, 0, 0, 0, 0, 0];
  const numbers = [
    ...[inode, mode, uid, gid, links, time, size],
    ...[deviceMajor, deviceMinor, major, minor, name.length, checksum],
  ];
  const digits = numbers.map((number) => number.toString(16).padStart(8, "0")).join("");
  return padded(Buffer.concat([Buffer.from(`070701${digits}`), name]));
}

function padded(bytes: Uint8Array): Uint8Array {
  const missing = -bytes.length & (ALIGNMENT - 1);
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
