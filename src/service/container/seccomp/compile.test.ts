// SPDX-License-Identifier: Apache-2.0
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { compileProfile } from "./compile.ts";
import { defaultProfile } from "./default-profile.ts";
import { type Argument, type Profile, parseProfile, type Rule, type Verdict } from "./profile.ts";
import { SYSCALLS } from "./syscalls.ts";

const X86_64 = 0xc000_003e;
const ALLOW = 0x7fff_0000;
const ERRNO = 0x0005_0000;
const KILL_PROCESS = 0x8000_0000;
const [EPERM, ENOSYS] = [1, 38];

interface Call {
  readonly number: number;
  readonly architecture?: number;
  readonly arguments?: readonly bigint[];
}

/** What the kernel makes of a filter: the part of classic BPF that filters use. */
function run(program: Uint8Array, call: Call): number {
  const data = Buffer.alloc(64);
  data.writeUInt32LE(call.number, 0);
  data.writeUInt32LE(call.architecture ?? X86_64, 4);
  (call.arguments ?? []).forEach((value, index) => {
    data.writeBigUInt64LE(value, 16 + 8 * index);
  });
  const code = Buffer.from(program);
  let accumulator = 0;
  for (let at = 0; at * 8 < code.length; at += 1) {
    const k = code.readUInt32LE(at * 8 + 4);
    const skip = (holds: boolean) => code.readUInt8(at * 8 + (holds ? 2 : 3));
    const operation = code.readUInt16LE(at * 8);
    if (operation === 0x06) return k;
    if (operation === 0x20) accumulator = data.readUInt32LE(k);
    else if (operation === 0x54) accumulator = (accumulator & k) >>> 0;
    else if (operation === 0x05) at += k;
    else if (operation === 0x15) at += skip(accumulator === k);
    else if (operation === 0x25) at += skip(accumulator > k);
    else if (operation === 0x35) at += skip(accumulator >= k);
    else throw new Error(`no operation ${operation}`);
  }
  throw new Error("the program runs off its end");
}

function numberOf(name: string): number {
  const number = SYSCALLS.get(name);
  if (number === undefined) throw new Error(`no call ${name}`);
  return number;
}

function holds({ index, op, value, valueTwo }: Argument, call: readonly bigint[]): boolean {
  const argument = call[index] ?? 0n;
  switch (op) {
    case "SCMP_CMP_NE":
      return argument !== value;
    case "SCMP_CMP_LT":
      return argument < value;
    case "SCMP_CMP_LE":
      return argument <= value;
    case "SCMP_CMP_EQ":
      return argument === value;
    case "SCMP_CMP_GE":
      return argument >= value;
    case "SCMP_CMP_GT":
      return argument > value;
    case "SCMP_CMP_MASKED_EQ":
      return (argument & value) === (valueTwo & value);
  }
}

/** The meaning of a profile, spelled out. */
function expected(profile: Profile, name: string, call: readonly bigint[]): number {
  const rules = profile.rules.filter(({ names }) => names.includes(name));
  const rule =
    rules.find((it) => it.arguments.length === 0) ??
    rules.find((it) => it.arguments.every((argument) => holds(argument, call)));
  const { action, data }: Verdict = rule ?? profile.otherwise;
  return action === "SCMP_ACT_ALLOW" ? ALLOW : ERRNO | data;
}

const NAMES = ["read", "write", "chmod", "socket", "clone", "clone3", "mseal"];
const words = fc.oneof(
  fc.constantFrom(0n, 1n, 0xffff_ffffn, 0x1_0000_0000n, 2n ** 64n - 1n),
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
);
const verdicts = fc.oneof(
  fc.constant<Verdict>({ action: "SCMP_ACT_ALLOW", data: 0 }),
  fc.record({
    action: fc.constant("SCMP_ACT_ERRNO" as const),
    data: fc.integer({ min: 1, max: 99 }),
  }),
);
const conditions = fc.record({
  index: fc.integer({ min: 0, max: 5 }),
  op: fc.constantFrom<Argument["op"]>(
    ...(["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"] as const).map(
      (op) => `SCMP_CMP_${op}` as const,
    ),
  ),
  value: words,
  valueTwo: words,
});
const rules: fc.Arbitrary<Rule> = fc
  .tuple(
    verdicts,
    fc.subarray(NAMES, { minLength: 1 }),
    fc.uniqueArray(conditions, { maxLength: 3, selector: ({ index }) => index }),
  )
  .map(([verdict, names, list]) => ({ ...verdict, names, arguments: list }));
const profiles = fc.record({ otherwise: verdicts, rules: fc.array(rules, { maxLength: 6 }) });

describe("a compiled profile", () => {
  it("decides as the profile says, for every call and argument", async () => {
    const calls = fc.tuple(
      fc.constantFrom(...NAMES),
      fc.array(words, { minLength: 6, maxLength: 6 }),
    );
    await fc.assert(
      fc.property(profiles, fc.array(calls, { minLength: 1, maxLength: 8 }), (profile, tried) => {
        const program = compileProfile(profile);
        for (const [name, values] of tried) {
          const verdict = run(program, { number: numberOf(name), arguments: values });
          expect(verdict).toBe(expected(profile, name, values));
        }
      }),
    );
  });

  it("compares an argument at its bounds", async () => {
    const bounds = fc.tuple(conditions, fc.constantFrom(-1n, 0n, 1n));
    await fc.assert(
      fc.property(bounds, ([condition, step]) => {
        const rule: Rule = {
          names: ["read"],
          action: "SCMP_ACT_ALLOW",
          data: 0,
          arguments: [condition],
        };
        const profile: Profile = {
          otherwise: { action: "SCMP_ACT_ERRNO", data: EPERM },
          rules: [rule],
        };
        const call = Array.from({ length: 6 }, () => 0n);
        call[condition.index] = BigInt.asUintN(64, condition.value + step);
        const verdict = run(compileProfile(profile), { number: 0, arguments: call });
        expect(verdict).toBe(expected(profile, "read", call));
      }),
    );
  });

  it("kills what speaks for another architecture, and knows no x32 calls", () => {
    const program = compileProfile({
      otherwise: { action: "SCMP_ACT_ALLOW", data: 0 },
      rules: [],
    });
    expect(run(program, { number: 0 })).toBe(ALLOW);
    expect(run(program, { number: 0, architecture: 0x4000_0003 })).toBe(KILL_PROCESS);
    expect(run(program, { number: 0x4000_0000 })).toBe(ERRNO | ENOSYS);
  });
});

describe("the default profile", () => {
  const verdict = (name: string, capabilities: string[] = [], ...call: bigint[]) =>
    run(compileProfile(defaultProfile(new Set(capabilities))), {
      number: numberOf(name),
      arguments: call,
    });

  it("lets programs work and refuses what administers the kernel", () => {
    for (const name of ["read", "execve", "futex", "io_setup", "chmod"]) {
      expect(verdict(name), name).toBe(ALLOW);
    }
    for (const name of ["mount", "kexec_load", "add_key", "init_module", "io_uring_setup"]) {
      expect(verdict(name), name).toBe(ERRNO | EPERM);
    }
  });

  it("follows the container's capabilities", () => {
    expect(verdict("mount", ["CAP_SYS_ADMIN"])).toBe(ALLOW);
    expect(verdict("settimeofday", ["CAP_SYS_TIME"])).toBe(ALLOW);
    expect(verdict("clone3")).toBe(ERRNO | ENOSYS);
    expect(verdict("clone3", ["CAP_SYS_ADMIN"])).toBe(ALLOW);
  });

  it("looks at flags, families and personalities", () => {
    const newUserNamespace = 0x1000_0000n;
    expect(verdict("clone", [], 0x11n)).toBe(ALLOW);
    expect(verdict("clone", [], newUserNamespace | 0x11n)).toBe(ERRNO | EPERM);
    expect(verdict("socket", [], 2n)).toBe(ALLOW);
    expect(verdict("socket", [], 40n)).toBe(ERRNO | EPERM);
    expect(verdict("personality", [], 0xffff_ffffn)).toBe(ALLOW);
    expect(verdict("personality", [], 0x4_0000n)).toBe(ERRNO | EPERM);
  });
});

describe("a profile of the node", () => {
  const read = (value: unknown, capabilities: string[] = []) =>
    parseProfile(JSON.stringify(value), new Set(capabilities), "the profile");

  it("has rules that depend on capabilities and architecture", () => {
    const rule = (names: string[], more: object) => ({ names, action: "SCMP_ACT_ALLOW", ...more });
    const profile = read(
      {
        defaultAction: "SCMP_ACT_ERRNO",
        defaultErrnoRet: 7,
        syscalls: [
          rule(["a"], { includes: { caps: ["CAP_BPF"] } }),
          rule(["b"], { excludes: { caps: ["CAP_BPF"] } }),
          rule(["c"], { includes: { arches: ["s390x"] } }),
          rule(["d"], { includes: { arches: ["amd64"], minKernel: "4.8" } }),
        ],
      },
      ["CAP_BPF"],
    );
    expect(profile.otherwise).toEqual({ action: "SCMP_ACT_ERRNO", data: 7 });
    expect(profile.rules.flatMap(({ names }) => names)).toEqual(["a", "d"]);
  });

  it("compares one argument with several values as alternatives", () => {
    const args = [
      { index: 0, value: 1, op: "SCMP_CMP_EQ" },
      { index: 0, value: 2, op: "SCMP_CMP_EQ" },
    ];
    const syscalls = [{ names: ["read"], action: "SCMP_ACT_ALLOW", args }];
    const profile = read({ defaultAction: "SCMP_ACT_ERRNO", syscalls });
    const program = compileProfile(profile);
    expect([1n, 2n, 3n].map((value) => run(program, { number: 0, arguments: [value] }))).toEqual([
      ALLOW,
      ALLOW,
      ERRNO | EPERM,
    ]);
  });

  it("is refused with the reason when it is none", () => {
    const parse = (text: string) => () => parseProfile(text, new Set(), "the profile /p.json");
    expect(parse("{")).toThrow("the profile /p.json is not JSON");
    expect(parse("{}")).toThrow("/p.json is not a seccomp profile: defaultAction");
    const notify = { defaultAction: "SCMP_ACT_NOTIFY" };
    expect(parse(JSON.stringify(notify))).toThrow("defaultAction");
  });
});
