// SPDX-License-Identifier: Apache-2.0
import { REASONS } from "./reasons.ts";
import type { SpecResult, SuiteResult } from "./result.ts";
import type { RuntimeName } from "./runtimes.ts";

/** A whole run of the suite. Those of one runtime stand side by side, the first being the serial one. */
export interface Run extends SuiteResult {
  readonly name: RuntimeName;
  /** How many specs passed in each run of the same suite in a row, this one the last. */
  readonly passedInARow?: readonly number[];
  /** What ended otherwise in one of them than in the first. */
  readonly otherwise?: readonly string[];
}

const CONFORMANCE = "[Conformance]";
const MARKS: Record<SpecResult["state"], string> = { passed: "✓", failed: "**✗**", skipped: "–" };

/** Writes CONFORMANCE.md: totals, what does not pass and why, and every spec. */
export function conformanceDocument(critestVersion: string, runs: readonly Run[]): string {
  const names = [...new Set(runs.flatMap(({ specs }) => specs.map(({ name }) => name)))].sort();
  const row = (cells: readonly string[]) => `| ${cells.map(escaped).join(" | ")} |`;
  const head = (first: string) => [
    row([first, ...runs.map(heading)]),
    `|---${"|---".repeat(runs.length)}|`,
  ];
  const total = (what: string, of: (run: Run) => string) => row([what, ...runs.map(of)]);
  return [
    "# CRI conformance",
    "",
    `Written by \`npm run conformance\`; do not edit. critest ${critestVersion} in one dom0 (Debian 13 on`,
    "Xen 4.20 in QEMU); each runtime below had the same images from the same registry and the same network.",
    "✓ passed, ✗ failed, – skipped.",
    "",
    ...head(""),
    total("`[Conformance]` specs passed", ({ specs }) => count(specs, CONFORMANCE)),
    total("all specs passed", ({ specs }) => count(specs, "")),
    total("the same, run after run", ({ passedInARow }) => passedInARow?.join(", ") ?? ""),
    total("specs side by side", ({ parallel }) => String(parallel)),
    total("left behind afterwards", ({ leftBehind }) => leftBehind.join("; ") || "nothing"),
    "",
    "## What does not pass, and why",
    "",
    ...(Object.keys(REASONS) as RuntimeName[]).flatMap((name) =>
      explained(runs.filter((run) => run.name === name)),
    ),
    "## Every spec",
    "",
    ...head("spec"),
    ...names.map((name) => row([name, ...runs.map(({ specs }) => markOf(specs, name))])),
    "",
  ].join("\n");
}

/** What did not pass without a known reason, and what passed in spite of one. */
export function surprises(runtime: RuntimeName, { specs }: SuiteResult): string[] {
  return specs.flatMap((spec) => {
    const known = knownReason(runtime, spec.name);
    if (spec.state === "passed") {
      return known === undefined ? [] : [`passed, against its reason: ${spec.name}`];
    }
    return known === undefined ? [`${spec.state}: ${spec.name}: ${spec.message}`] : [];
  });
}

/** Specs that ended otherwise than in a run before. */
export function differences(before: SuiteResult, after: SuiteResult): string[] {
  return after.specs.flatMap(({ name, state, message }) => {
    const old = before.specs.find((spec) => spec.name === name)?.state;
    return old === state ? [] : [`${name}: ${old ?? "did not run"}, then ${state}: ${message}`];
  });
}

/** The section of one runtime: the first run's failures, and what the others have otherwise. */
function explained([first, ...others]: readonly Run[]): string[] {
  if (first === undefined) return [];
  const { name, runtime, specs } = first;
  const failures = specs.filter(({ state }) => state !== "passed");
  return [
    `### ${runtime}`,
    "",
    ...failures.map((spec) => `- ${MARKS[spec.state]} ${spec.name}: ${reasonOf(name, spec)}`),
    ...others.flatMap((run) =>
      differences(first, run).map((text) => `- ${run.parallel} side by side: ${text}`),
    ),
    ...[first, ...others].flatMap(({ parallel, otherwise = [] }) =>
      otherwise.map((text) => `- ${parallel} side by side, in another run: ${text}`),
    ),
    "",
  ];
}

function heading({ parallel, runtime }: Run): string {
  return parallel === 1 ? runtime : `${runtime}, ${parallel} side by side`;
}

function reasonOf(runtime: RuntimeName, { name, message }: SpecResult): string {
  return knownReason(runtime, name) ?? `not expected; critest says: ${message}`;
}

function knownReason(runtime: RuntimeName, name: string): string | undefined {
  return REASONS[runtime].find(({ specs }) => specs.test(name))?.reason;
}

function count(specs: readonly SpecResult[], what: string): string {
  const chosen = specs.filter(({ name }) => name.includes(what));
  return `${chosen.filter(({ state }) => state === "passed").length} of ${chosen.length}`;
}

function markOf(specs: readonly SpecResult[], name: string): string {
  const spec = specs.find((it) => it.name === name);
  return spec === undefined ? "" : MARKS[spec.state];
}

function escaped(cell: string): string {
  return cell.replaceAll("|", "\\|");
}
