// SPDX-License-Identifier: Apache-2.0

/** How one spec ended. */
export interface SpecResult {
  /** Its whole name without "[k8s.io]", as critest spells it. */
  readonly name: string;
  readonly state: "passed" | "failed" | "skipped";
  /** Wall-clock time on the machine of the run. */
  readonly seconds: number;
  /** First lines of what it complained about; "" when it passed. */
  readonly message: string;
}

/** One run of the suite. */
export interface SuiteResult {
  /** "lightvm 0.1.0" or "containerd 1.7.24, runc 1.1.15" */
  readonly runtime: string;
  /** Specs that ran side by side. */
  readonly parallel: number;
  readonly specs: readonly SpecResult[];
  /** What the run has left on the node; empty = nothing. */
  readonly leftBehind: readonly string[];
}

/** The part of Ginkgo's JSON report (types.Report of ginkgo/v2) that is read. */
interface GinkgoReport {
  readonly SpecReports: readonly {
    readonly LeafNodeType: string;
    readonly LeafNodeText: string;
    readonly ContainerHierarchyTexts: readonly string[] | null;
    readonly State: string;
    /** Nanoseconds. */
    readonly RunTime: number;
    readonly Failure?: { readonly Message?: string };
  }[];
}

const MAX_MESSAGE = 300;
/** Part of the suite that measures; critest itself leaves it out. */
const BENCHMARKS = "benchmark";

/** Reads a report that critest wrote. Specs that the focus left out are not in it. */
export function parseReport(json: string, focused: boolean): SpecResult[] {
  const reports = JSON.parse(json) as readonly GinkgoReport[];
  return reports
    .flatMap(({ SpecReports }) => SpecReports)
    .filter(({ LeafNodeType }) => LeafNodeType === "It")
    .map((spec) => {
      const text = [...(spec.ContainerHierarchyTexts ?? []), spec.LeafNodeText].join(" ");
      const message = oneParagraph(spec.Failure?.Message ?? "");
      return {
        name: text.replace("[k8s.io] ", ""),
        state: stateOf(spec.State),
        seconds: Math.round(spec.RunTime / 1e8) / 10,
        message,
      };
    })
    .filter(({ name }) => !name.includes(BENCHMARKS))
    .filter(({ state, message }) => !(focused && state === "skipped" && message === ""))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function stateOf(state: string): SpecResult["state"] {
  if (state === "passed" || state === "skipped") return state;
  // "timedout", "panicked", "interrupted" and the like are all no pass.
  return "failed";
}

/** Without the ids and times that differ from run to run. */
function oneParagraph(message: string): string {
  return message
    .replaceAll(/\b[0-9a-f]{64}\b/g, "…")
    .replaceAll(/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, "…")
    .replaceAll(/\s+/g, " ")
    .trim()
    .slice(0, MAX_MESSAGE);
}
