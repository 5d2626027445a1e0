// SPDX-License-Identifier: Apache-2.0

/** One instruction of classic BPF: struct sock_filter of linux/filter.h. */
export interface Instruction {
  readonly code: number;
  /** Instructions to skip when a test holds, and when it does not. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** Operations: class, size or test, and that the operand is the constant. */
export const OP = {
  /** Loads a word of struct seccomp_data. */
  load: 0x20,
  and: 0x54,
  jump: 0x05,
  jeq: 0x15,
  jgt: 0x25,
  jge: 0x35,
  return: 0x06,
} as const;

const INSTRUCTION_BYTES = 8;
/** The kernel takes no longer program (BPF_MAXINSNS). */
export const MAX_INSTRUCTIONS = 4096;
/** Jumps of a test are bytes. */
export const MAX_SKIP = 255;

export function load(offset: number): Instruction {
  return { code: OP.load, jt: 0, jf: 0, k: offset };
}

export function jump(code: number, k: number, jt: number, jf: number): Instruction {
  return { code, jt, jf, k };
}

export function giveBack(value: number): Instruction {
  return { code: OP.return, jt: 0, jf: 0, k: value };
}

/** As the kernel takes it. */
export function encode(program: readonly Instruction[]): Uint8Array {
  const bytes = Buffer.alloc(program.length * INSTRUCTION_BYTES);
  program.forEach(({ code, jt, jf, k }, index) => {
    const at = index * INSTRUCTION_BYTES;
    bytes.writeUInt16LE(code, at);
    bytes.writeUInt8(jt, at + 2);
    bytes.writeUInt8(jf, at + 3);
    bytes.writeUInt32LE(k >>> 0, at + 4);
  });
  return bytes;
}
