// SPDX-License-Identifier: Apache-2.0

/**
 * Compiles a profile to a filter for x86-64:
 *
 *     other architecture → kill          number of the x32 ABI → ENOSYS
 *     number → binary search over ranges with one verdict → verdict, or the rules of that call
 *
 * So a call costs about eight tests however many the profile names. Of the rules for one call the
 * first without comparisons stands alone, as with libseccomp; otherwise the first that matches.
 */
import { LightvmError } from "../../../shared/errors.ts";
import { comparison } from "./conditions.ts";
import {
  encode,
  giveBack,
  type Instruction,
  jump,
  load,
  MAX_INSTRUCTIONS,
  MAX_SKIP,
  OP,
} from "./instructions.ts";
import type { Profile, Rule, Verdict } from "./profile.ts";
import { SYSCALLS } from "./syscalls.ts";

const NUMBER_OFFSET = 0;
const ARCHITECTURE_OFFSET = 4;
/** AUDIT_ARCH_X86_64 of linux/audit.h. */
const X86_64 = 0xc000_003e;
/** Calls of the x32 ABI have this bit; guests' kernels do not have that ABI. */
const X32_BIT = 0x4000_0000;
const ENOSYS = 38;

/** SECCOMP_RET_… of linux/seccomp.h. */
const RETURNS: Record<Verdict["action"], number> = {
  SCMP_ACT_KILL: 0x0000_0000,
  SCMP_ACT_KILL_THREAD: 0x0000_0000,
  SCMP_ACT_KILL_PROCESS: 0x8000_0000,
  SCMP_ACT_TRAP: 0x0003_0000,
  SCMP_ACT_ERRNO: 0x0005_0000,
  SCMP_ACT_TRACE: 0x7ff0_0000,
  SCMP_ACT_LOG: 0x7ffc_0000,
  SCMP_ACT_ALLOW: 0x7fff_0000,
};

/** Calls from one number up to the next range's that are treated alike. */
interface Range {
  readonly first: number;
  readonly code: readonly Instruction[];
}

/** The filter as the kernel takes it. Throws "invalid-argument" when the profile is too large. */
export function compileProfile(profile: Profile): Uint8Array {
  const program = [
    load(ARCHITECTURE_OFFSET),
    jump(OP.jeq, X86_64, 1, 0),
    giveBack(RETURNS.SCMP_ACT_KILL_PROCESS),
    load(NUMBER_OFFSET),
    jump(OP.jge, X32_BIT, 0, 1),
    giveBack(RETURNS.SCMP_ACT_ERRNO | ENOSYS),
    ...search(rangesOf(profile)),
  ];
  if (program.length > MAX_INSTRUCTIONS) {
    throw new LightvmError(
      "invalid-argument",
      `the seccomp profile takes ${program.length} instructions, the kernel takes ${MAX_INSTRUCTIONS}`,
    );
  }
  return encode(program);
}

function rangesOf({ otherwise, rules }: Profile): Range[] {
  const byNumber = new Map<number, Rule[]>();
  for (const rule of rules) {
    for (const name of rule.names) {
      const number = SYSCALLS.get(name);
      // Profiles name calls of all architectures and of newer kernels.
      if (number === undefined) continue;
      byNumber.set(number, [...(byNumber.get(number) ?? []), rule]);
    }
  }
  const end = Math.max(0, ...byNumber.keys()) + 2;
  const ranges: Range[] = [];
  for (let first = 0; first < end; first += 1) {
    const code = codeOf(byNumber.get(first) ?? [], otherwise);
    const before = ranges.at(-1)?.code;
    if (before === undefined || !sameCode(before, code)) ranges.push({ first, code });
  }
  return ranges;
}

/** The verdict on one call, when its number is known already. */
function codeOf(rules: readonly Rule[], otherwise: Verdict): Instruction[] {
  const always = rules.find((rule) => rule.arguments.length === 0);
  if (always !== undefined) return [verdict(always)];
  return [...rules.flatMap(ruleCode), verdict(otherwise)];
}

/** Leads behind its own end unless all comparisons hold. */
function ruleCode(rule: Rule): Instruction[] {
  let code = [verdict(rule)];
  for (const argument of rule.arguments.toReversed()) {
    code = [...comparison(argument, code.length), ...code];
  }
  return code;
}

function verdict({ action, data }: Verdict): Instruction {
  const carriesData = action === "SCMP_ACT_ERRNO" || action === "SCMP_ACT_TRACE";
  return giveBack(RETURNS[action] | (carriesData ? data : 0));
}

function sameCode(a: readonly Instruction[], b: readonly Instruction[]): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Finds the range that holds the number in the accumulator. */
function search(ranges: readonly Range[]): Instruction[] {
  const middle = ranges[ranges.length >> 1];
  if (middle === undefined || ranges.length === 1) return [...(middle?.code ?? [])];
  const below = search(ranges.slice(0, ranges.length >> 1));
  const above = search(ranges.slice(ranges.length >> 1));
  const branch =
    below.length <= MAX_SKIP
      ? [jump(OP.jge, middle.first, below.length, 0)]
      : [jump(OP.jge, middle.first, 0, 1), { code: OP.jump, jt: 0, jf: 0, k: below.length }];
  return [...branch, ...below, ...above];
}
