// SPDX-License-Identifier: Apache-2.0

/**
 * Seccomp profiles in the form that node operators know: the `seccomp` object of the OCI runtime
 * specification, and what Docker and containerd add to it (archMap, includes, excludes).
 */
import { z } from "zod";
import { LightvmError } from "../../../shared/errors.ts";

const ACTIONS = [
  ...["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"],
  ...["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE", "SCMP_ACT_LOG", "SCMP_ACT_ALLOW"],
] as const;
const OPERATORS = [
  ...["SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE", "SCMP_CMP_EQ"],
  ...["SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ"],
] as const;

const MAX_WORD = 2n ** 64n - 1n;
/** Arguments are 64 bits wide. JSON has them as numbers, which are exact up to 2^53. */
const word = z
  .number()
  .nonnegative()
  .refine(Number.isInteger, "must be a whole number")
  .transform((value) => (BigInt(value) > MAX_WORD ? MAX_WORD : BigInt(value)));
/** A value that goes into the 16 data bits of a filter's verdict. */
const data = z.number().int().min(0).max(0xffff);
const orEmpty = <T extends z.ZodType>(item: T) =>
  z
    .array(item)
    .nullish()
    .transform((list) => list ?? []);

const argument = z.object({
  index: z.number().int().min(0).max(5),
  value: word,
  valueTwo: word.default(0n),
  op: z.enum(OPERATORS),
});

const when = z
  .object({
    caps: orEmpty(z.string()),
    arches: orEmpty(z.string()),
    minKernel: z.string().nullish(),
  })
  .nullish()
  .transform((it) => it ?? { caps: [], arches: [], minKernel: undefined });

const rule = z.object({
  names: z.array(z.string()),
  action: z.enum(ACTIONS),
  errnoRet: data.nullish(),
  args: orEmpty(argument),
  includes: when,
  excludes: when,
});

const document = z.object({
  defaultAction: z.enum(ACTIONS),
  defaultErrnoRet: data.nullish(),
  syscalls: orEmpty(rule),
});

/** One comparison of one argument. */
export type Argument = z.output<typeof argument>;
/** What happens to a call that a rule, or no rule, matches. */
export interface Verdict {
  readonly action: (typeof ACTIONS)[number];
  /** For ERRNO and TRACE. */
  readonly data: number;
}
/** Calls by name with the verdict for those whose arguments match all comparisons. */
export interface Rule extends Verdict {
  readonly names: readonly string[];
  readonly arguments: readonly Argument[];
}
/** A profile for one container. */
export interface Profile {
  readonly otherwise: Verdict;
  readonly rules: readonly Rule[];
}

const EPERM = 1;
/** How Docker calls what Go calls amd64. */
const ARCHITECTURES: ReadonlySet<string> = new Set(["amd64", "x86_64"]);

/**
 * Reads a profile; `capabilities` are the container's, on which rules may depend. Names of other
 * architectures' calls are kept: whoever compiles knows which exist. Throws "invalid-argument".
 */
export function parseProfile(
  text: string,
  capabilities: ReadonlySet<string>,
  origin: string,
): Profile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new LightvmError("invalid-argument", `${origin} is not JSON`, { cause });
  }
  const { data: profile, error } = document.safeParse(json);
  if (profile === undefined) {
    const [issue] = error.issues;
    const why = `${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`;
    throw new LightvmError("invalid-argument", `${origin} is not a seccomp profile: ${why}`);
  }
  return {
    otherwise: { action: profile.defaultAction, data: profile.defaultErrnoRet ?? EPERM },
    rules: profile.syscalls.filter((it) => applies(it, capabilities)).flatMap(toRules),
  };
}

/** Comparisons of different arguments must all hold; of those of one argument, any (as with runc). */
function toRules({ names, action, errnoRet, args }: z.output<typeof rule>): Rule[] {
  const rule = { names, action, data: errnoRet ?? EPERM };
  const alternatives = new Set(args.map(({ index }) => index)).size < args.length;
  if (!alternatives) return [{ ...rule, arguments: args }];
  return args.map((it) => ({ ...rule, arguments: [it] }));
}

/** A guest's kernel is newer than any `minKernel` that a profile asks for. */
function applies(
  { includes, excludes }: z.output<typeof rule>,
  capabilities: ReadonlySet<string>,
): boolean {
  const here = (arches: readonly string[]) => arches.some((it) => ARCHITECTURES.has(it));
  return (
    includes.caps.every((it) => capabilities.has(it)) &&
    !excludes.caps.some((it) => capabilities.has(it)) &&
    (includes.arches.length === 0 || here(includes.arches)) &&
    !here(excludes.arches) &&
    !excludes.minKernel
  );
}
