// SPDX-License-Identifier: Apache-2.0

/**
 * Comparisons of a call's arguments in classic BPF, which has 32-bit words and jumps forward only.
 * An argument is two words; the higher one decides unless it is equal.
 */
import { type Instruction, jump, load, OP } from "./instructions.ts";
import type { Argument } from "./profile.ts";

/** struct seccomp_data: number, architecture, instruction pointer, then six 64-bit arguments. */
const ARGUMENTS_OFFSET = 16;
const ARGUMENT_BYTES = 8;

/**
 * Code that goes on behind its own end when the comparison holds, and `otherwise` instructions
 * further when it does not.
 */
export function comparison(argument: Argument, otherwise: number): Instruction[] {
  const { index, op, value, valueTwo } = argument;
  const low = load(ARGUMENTS_OFFSET + ARGUMENT_BYTES * index);
  const high = load(ARGUMENTS_OFFSET + ARGUMENT_BYTES * index + 4);
  const [above, below] = halves(value);
  /** `orderly(jge)`: argument ≥ value; the last test decides when the higher words are equal. */
  const larger = (test: number) => [
    high,
    jump(OP.jgt, above, 3, 0),
    jump(OP.jeq, above, 0, 2 + otherwise),
    low,
    jump(test, below, 0, otherwise),
  ];
  const notLarger = (test: number) => [
    high,
    jump(OP.jgt, above, 3 + otherwise, 0),
    jump(OP.jeq, above, 0, 2),
    low,
    jump(test, below, otherwise, 0),
  ];
  switch (op) {
    case "SCMP_CMP_EQ":
      return [high, jump(OP.jeq, above, 0, 2 + otherwise), low, jump(OP.jeq, below, 0, otherwise)];
    case "SCMP_CMP_NE":
      return [high, jump(OP.jeq, above, 0, 2), low, jump(OP.jeq, below, otherwise, 0)];
    case "SCMP_CMP_GT":
      return larger(OP.jgt);
    case "SCMP_CMP_GE":
      return larger(OP.jge);
    case "SCMP_CMP_LT":
      return notLarger(OP.jge);
    case "SCMP_CMP_LE":
      return notLarger(OP.jgt);
    case "SCMP_CMP_MASKED_EQ": {
      const [wantedAbove, wantedBelow] = halves(valueTwo & value);
      return [
        high,
        { code: OP.and, jt: 0, jf: 0, k: above },
        jump(OP.jeq, wantedAbove, 0, 3 + otherwise),
        low,
        { code: OP.and, jt: 0, jf: 0, k: below },
        jump(OP.jeq, wantedBelow, 0, otherwise),
      ];
    }
  }
}

function halves(value: bigint): [number, number] {
  return [Number(value >> 32n), Number(value & 0xffff_ffffn)];
}
