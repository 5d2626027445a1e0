// SPDX-License-Identifier: Apache-2.0

/** Looks into a kernel before it becomes an image. The VMM checks everything again before a boot. */
import { LightvmError } from "../shared/errors.ts";

const HEADER_BYTES = 64;
const EXECUTABLE = 2;
const X86_64 = 62;
const PT_LOAD = 1;
const PT_NOTE = 4;
/** XEN_ELFNOTE_PHYS32_ENTRY (xen/include/public/elfnote.h). */
const PHYS32_ENTRY = 18;

interface Segment {
  readonly type: number;
  readonly offset: number;
  readonly fileBytes: number;
  /** Guest-physical end of it in memory. */
  readonly end: number;
}

/**
 * Where a kernel ends in guest memory, bytes. Throws "invalid-argument" when it is not an ELF file
 * for x86-64 with a PVH entry point.
 */
export function endOfKernel(kernel: Buffer): number {
  const segments = readSegments(kernel);
  const notes = segments.filter(({ type }) => type === PT_NOTE);
  if (
    !notes.some(({ offset, fileBytes }) => hasEntry(kernel.subarray(offset, offset + fileBytes)))
  ) {
    throw refused("it has no PVH entry point (ELF note Xen, type 18)");
  }
  return Math.max(0, ...segments.filter(({ type }) => type === PT_LOAD).map(({ end }) => end));
}

function readSegments(kernel: Buffer): Segment[] {
  const isElf =
    kernel.length >= HEADER_BYTES &&
    kernel.readUInt32BE(0) === 0x7f454c46 &&
    kernel[4] === 2 &&
    kernel[5] === 1 &&
    kernel.readUInt16LE(16) === EXECUTABLE &&
    kernel.readUInt16LE(18) === X86_64;
  if (!isElf) throw refused("it is not a 64-bit x86 ELF executable");
  const table = Number(kernel.readBigUInt64LE(32));
  const [size, count] = [kernel.readUInt16LE(54), kernel.readUInt16LE(56)];
  if (size < 56 || table + size * count > kernel.length) throw refused("its headers are cut off");
  return Array.from({ length: count }, (_, index) => {
    const header = kernel.subarray(table + index * size);
    const number = (offset: number) => Number(header.readBigUInt64LE(offset));
    return {
      type: header.readUInt32LE(0),
      offset: number(8),
      fileBytes: number(32),
      end: number(24) + number(40),
    };
  });
}

/** Each note: sizes of name and content, type, then both, padded to four bytes. */
function hasEntry(notes: Buffer): boolean {
  const padded = (size: number) => Math.ceil(size / 4) * 4;
  for (let at = 0; at + 12 <= notes.length; ) {
    const nameBytes = notes.readUInt32LE(at);
    const contentBytes = notes.readUInt32LE(at + 4);
    const name = notes.subarray(at + 12, at + 12 + nameBytes).toString("latin1");
    if (name === "Xen\0" && notes.readUInt32LE(at + 8) === PHYS32_ENTRY) return true;
    at += 12 + padded(nameBytes) + padded(contentBytes);
  }
  return false;
}

function refused(why: string): LightvmError {
  return new LightvmError("invalid-argument", `the kernel cannot be booted: ${why}`);
}
