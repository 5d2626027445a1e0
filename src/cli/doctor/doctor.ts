// SPDX-License-Identifier: Apache-2.0
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import type { Config } from "../../shared/config.ts";
import { describeError } from "../../shared/errors.ts";
import { loadAddon } from "../../shared/native-addon.ts";
import { nodePaths } from "../../shared/paths.ts";
import { NativeHypervisor } from "../../toolstack/native-hypervisor.ts";
import { type Check, type Finding, fail, type Host } from "./check.ts";
import { NODE_CHECKS } from "./node-checks.ts";
import { XEN_CHECKS } from "./xen-checks.ts";

/** One line of the report. */
export interface Diagnosis extends Finding {
  readonly name: string;
}

/** This very host. */
export function thisHost(config: Config): Host {
  const paths = nodePaths(config);
  let hypervisor: Host["hypervisor"];
  try {
    hypervisor = new NativeHypervisor(loadAddon(paths.addon));
  } catch (error) {
    hypervisor = error instanceof Error ? error : new Error(String(error));
  }
  const run: Host["run"] = async (command, args) => {
    const { stdout, stderr } = await promisify(execFile)(command, args, { timeout: 10_000 });
    return stdout + stderr;
  };
  return { config, paths, root: "", uid: process.getuid?.() ?? -1, hypervisor, run };
}

/** Looks at everything that a pod needs; one item's trouble never hides another's. */
export async function diagnose(
  host: Host,
  checks: readonly Check[] = [...XEN_CHECKS, ...NODE_CHECKS],
): Promise<Diagnosis[]> {
  const report: Diagnosis[] = [];
  for (const check of checks) {
    try {
      report.push({ name: check.name, ...(await check.look(host)) });
    } catch (error) {
      report.push({ name: check.name, ...fail(describeError(error), "report this as a defect") });
    }
  }
  return report;
}

/** The report for humans, and the sentence that sums it up. */
export function formatReport(report: readonly Diagnosis[]): string {
  const width = Math.max(...report.map(({ name }) => name.length));
  const lines = report.flatMap(({ name, verdict, detail, remedy }) => {
    const line = `${verdict.padEnd(4)}  ${name.padEnd(width)}  ${detail}`;
    return remedy === undefined ? [line] : [line, `${" ".repeat(width + 8)}→ ${remedy}`];
  });
  const failures = report.filter(({ verdict }) => verdict === "fail").length;
  const verdict =
    failures === 0
      ? "This host can run pods."
      : `This host cannot run pods yet: ${failures} of ${report.length} items fail.`;
  return [...lines, "", verdict].join("\n");
}
