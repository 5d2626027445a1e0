// SPDX-License-Identifier: Apache-2.0
import { REASONS } from "./reasons.ts";
import type { SpecResult, SuiteResult } from "./result.ts";
import type { RuntimeName } from "./runtimes.ts";

export type Results = Readonly<Partial<Record<RuntimeName, SuiteResult>>>;

const CONFORMANCE = "[Conformance]";
const MARKS: Record<SpecResult["state"], string> = { passed: "✓", failed: "**✗**", skipped: "–" };

/** Writes CONFORMANCE.md: totals, what does not pass and why, and every spec. */
export function conformanceDocument(critestVersion: string, results: Results): string {
  const runs = Object.entries(results) as [RuntimeName, SuiteResult][];
  const names = [...new Set(runs.flatMap(([, { specs }]) => specs.map(({ name }) => name)))].sort();
  const row = (cells: readonly string[]) => `| ${cells.map(escaped).join(" | ")} |`;
  const head = (first: string, more: readonly string[] = []) => [
    row([first, ...runs.map(([, { runtime }]) => runtime), ...more]),
    `|---${"|---".repeat(runs.length + more.length)}|`,
  ];
  const total = (what: string, of: (run: SuiteResult) => string) =>
    row([what, ...runs.map(([, run]) => of(run))]);
  const marks = (name: string) => runs.map(([, { specs }]) => markOf(specs, name));
  return [
    "# CRI conformance",
    "",
    `Written by \`npm run conformance\`; do not edit. critest ${critestVersion} on both runtimes in the same dom0`,
    "(Debian 13 on Xen 4.20 in QEMU), with the same images from the same registry. ✓ passed, ✗ failed, – skipped.",
    "",
    ...head(""),
    total("`[Conformance]` specs passed", ({ specs }) => count(specs, CONFORMANCE)),
    total("all specs passed", ({ specs }) => count(specs, "")),
    total("specs side by side", ({ parallel }) => String(parallel)),
    total("left behind afterwards", ({ leftBehind }) => leftBehind.join("; ") || "nothing"),
    "",
    "## What does not pass, and why",
    "",
    ...runs.flatMap(([runtime, { runtime: title, specs }]) => [
      `### ${title}`,
      "",
      ...specs
        .filter(({ state }) => state !== "passed")
        .map((spec) => `- ${MARKS[spec.state]} ${spec.name}: ${reasonOf(runtime, spec)}`),
      "",
    ]),
    "## Every spec",
    "",
    ...head("spec"),
    ...names.map((name) => row([name, ...marks(name)])),
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
