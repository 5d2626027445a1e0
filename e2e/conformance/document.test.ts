// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { conformanceDocument, differences, type Run, surprises } from "./document.ts";
import { parseReport, type SpecResult } from "./result.ts";

const spec = (name: string, state: SpecResult["state"], message = ""): SpecResult => ({
  name,
  state,
  seconds: 1,
  message,
});
const run = (parallel: number, specs: readonly SpecResult[]): Run => ({
  name: "lightvm",
  runtime: "lightvm 1",
  parallel,
  specs,
  leftBehind: [],
});
const HOST_PID = "Security Context runtime should support HostPID";

describe("the conformance document", () => {
  it("counts, and gives each spec that does not pass its reason", () => {
    const specs = [spec("a [Conformance]", "passed"), spec("b", "failed", "no | good")];
    const text = conformanceDocument("v1", [run(1, [...specs, spec(HOST_PID, "failed")])]);
    expect(text).toContain("| `[Conformance]` specs passed | 1 of 1 |");
    expect(text).toContain("| all specs passed | 1 of 3 |");
    expect(text).toMatch(/^- \*\*✗\*\* b: not expected; critest says: no \| good$/m);
    expect(text).toMatch(/HostPID: host processes; a pod is a VM/);
  });

  it("tells what a parallel run has otherwise than the serial one", () => {
    const text = conformanceDocument("v1", [
      run(1, [spec("a", "passed")]),
      run(4, [spec("a", "failed", "too late")]),
    ]);
    expect(text).toContain("- 4 side by side: a: passed, then failed: too late");
    expect(text).toMatch(/^\| a \| ✓ \| \*\*✗\*\* \|$/m);
  });
});

describe("runs in a row", () => {
  it("are told with what one of them had otherwise", () => {
    const otherwise = ["a: passed, then failed: late"];
    const last = { ...run(4, [spec("a", "failed")]), passedInARow: [1, 0], otherwise };
    const text = conformanceDocument("v1", [last]);
    expect(text).toContain("|  | lightvm 1, 4 side by side |");
    expect(text).toContain("| the same, run after run | 1, 0 |");
    expect(text).toContain("- 4 side by side, in another run: a: passed, then failed: late");
  });
});

describe("a run", () => {
  it("surprises by what fails without a reason, and by what passes with one", () => {
    const result = run(1, [spec("b", "failed", "why"), spec(HOST_PID, "passed")]);
    expect(surprises("lightvm", result)).toEqual([
      "failed: b: why",
      `passed, against its reason: ${HOST_PID}`,
    ]);
    expect(surprises("lightvm", run(1, [spec(HOST_PID, "failed")]))).toEqual([]);
  });

  it("differs from another by specs that ended otherwise or did not run", () => {
    const before = run(1, [spec("a", "passed")]);
    expect(differences(before, before)).toEqual([]);
    expect(differences(before, run(1, [spec("a", "skipped"), spec("b", "passed")]))).toEqual([
      "a: passed, then skipped: ",
      "b: did not run, then passed: ",
    ]);
  });

  it("is read from Ginkgo's report, without ids and without what was not meant to run", () => {
    const it = (leaf: string, more: object) => ({
      LeafNodeType: "It",
      LeafNodeText: leaf,
      ContainerHierarchyTexts: ["[k8s.io] Group"],
      RunTime: 1.26e9,
      ...more,
    });
    const message = `pod "${"a".repeat(64)}"\n  is gone`;
    const specs = [
      it("fails", { State: "timedout", Failure: { Message: message } }),
      it("was left out", { State: "skipped" }),
      it("benchmark", { State: "passed" }),
      { ...it("set-up", { State: "passed" }), LeafNodeType: "BeforeSuite" },
    ];
    expect(parseReport(JSON.stringify([{ SpecReports: specs }]), true)).toEqual([
      { name: "Group fails", state: "failed", seconds: 1.3, message: 'pod "…" is gone' },
    ]);
  });
});
