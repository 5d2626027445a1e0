// SPDX-License-Identifier: Apache-2.0

const LOAD_ADDRESS = 0x10_0000;
const HEADERS = 256;

export interface PvhKernelOptions {
  /** What runs, in 32-bit protected mode. */
  readonly code?: Uint8Array;
  /** Where it ends in guest memory. */
  readonly end?: number;
  /** Of its one note; 18 is the PVH entry point. */
  readonly noteType?: number;
}

/** The least that is a PVH kernel: an ELF file with one segment and one note. */
export function pvhKernel(options: PvhKernelOptions = {}): Buffer {
  const { code = Buffer.of(0xf4), end = LOAD_ADDRESS + 0x1000, noteType = 18 } = options;
  const kernel = Buffer.alloc(HEADERS + code.length);
  kernel.write("\x7fELF\x02\x01\x01", "latin1");
  kernel.writeUInt16LE(2, 16); // an executable
  kernel.writeUInt16LE(62, 18); // for x86-64
  kernel.writeBigUInt64LE(64n, 32); // program headers:
  kernel.writeUInt16LE(56, 54);
  kernel.writeUInt16LE(2, 56);
  kernel.writeUInt32LE(1, 64); // PT_LOAD
  kernel.writeBigUInt64LE(BigInt(HEADERS), 64 + 8);
  kernel.writeBigUInt64LE(BigInt(LOAD_ADDRESS), 64 + 24);
  kernel.writeBigUInt64LE(BigInt(code.length), 64 + 32);
  kernel.writeBigUInt64LE(BigInt(end - LOAD_ADDRESS), 64 + 40);
  kernel.writeUInt32LE(4, 120); // PT_NOTE
  kernel.writeBigUInt64LE(200n, 120 + 8);
  kernel.writeBigUInt64LE(20n, 120 + 32);
  [4, 4, noteType].forEach((word, index) => void kernel.writeUInt32LE(word, 200 + 4 * index));
  kernel.write("Xen\0", 212, "latin1");
  kernel.writeUInt32LE(LOAD_ADDRESS, 216);
  Buffer.from(code).copy(kernel, HEADERS);
  return kernel;
}
