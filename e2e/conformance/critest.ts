// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";
import { quoted } from "../framework/crictl.ts";
import { parseReport, type SpecResult } from "./result.ts";

export interface CritestOptions {
  /** UNIX socket of the runtime, as "unix://…". */
  readonly endpoint: string;
  readonly parallel: number;
  /** Regular expression; only specs with such a name run. */
  readonly focus?: string | undefined;
  /** Where the whole output goes, beside a line a spec that is printed. */
  readonly onLine?: (line: string) => void;
}

const REPORT = "/tmp/critest/report.json";
/** Under emulation without anybody else on the machine the whole suite takes a third of it. */
const TIMEOUT = "3h";
/** "• [2.345 seconds]", "• [FAILED] [3.2 seconds]", "S [SKIPPED] [0.1 seconds]" */
const ENDED = /^(•|S)( \[\w+\])?.* \[([\d.]+) seconds\]$/;

/** Runs critest in dom0, which is where its specs look for log files and host directories. */
export async function critest(box: Box, options: CritestOptions): Promise<SpecResult[]> {
  const words = [
    ...["critest", "-runtime-endpoint", options.endpoint, "-image-endpoint", options.endpoint],
    // Verbose: without it only a failure gets a line of its own.
    ...["-ginkgo.no-color", "-ginkgo.v"],
    ...["-ginkgo.timeout", TIMEOUT, "-ginkgo.json-report", REPORT],
    ...(options.focus === undefined ? [] : ["-ginkgo.focus", options.focus]),
    ...(options.parallel > 1 ? ["-parallel", String(options.parallel)] : []),
  ];
  const command = `rm -rf /tmp/critest; mkdir -p /tmp/critest; cd /tmp/critest; ${words.map(quoted).join(" ")}`;
  const child = spawn("ssh", [...box.sshArguments(), command], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  let done = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    options.onLine?.(line);
    const [, , how = "", seconds] = ENDED.exec(line) ?? [];
    if (seconds === undefined) continue;
    done += 1;
    console.error(`[critest] ${done}${how} ${seconds} s`);
  }
  await ended;
  const { code, stdout } = await box.exec(`cat ${REPORT}`);
  if (code !== 0) throw new LightvmError("unavailable", "critest ended without a report");
  return parseReport(stdout, options.focus !== undefined);
}
