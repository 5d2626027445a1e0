// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { afterEach } from "vitest";
import { Box } from "../box/box.ts";
import { TEST_BOX } from "./box-for-tests.ts";
import { Daemon } from "./daemon.ts";

/** Lines of lightvmd's log that belong to one failure, at the most; and of a guest's boot log. */
const LINES = 150;
const BOOT_LOG_LINES = 40;

/** What the pods' kernels have said, each log under its name. */
async function bootLogs(box: Box): Promise<string> {
  const logs = "/run/lightvm/shells/*/boot.log";
  return (await box.exec(`tail -v -n ${BOOT_LOG_LINES} ${logs} 2>/dev/null`)).stdout;
}

/** What dom0's kernel has said since the box is up; Xen's own lines, answers to debug keys, not. */
async function dom0Log(box: Box): Promise<string> {
  const lines = (await readFile(box.consoleLog, "utf8")).split("\n");
  return lines
    .filter((line) => line !== "" && !line.startsWith("(XEN)"))
    .slice(-LINES)
    .join("\n");
}

/** vitest runs it in each test file: who reads that a test failed can read what the node said to it. */
afterEach(async ({ task }) => {
  const box = Box.named(TEST_BOX);
  if (task.result?.state !== "fail" || !box.running) return;
  const failed = `when "${task.name}" failed`;
  console.error(`lightvmd's log, ${failed}:\n${await new Daemon(box).log(LINES)}`);
  console.error(`The guests' boot logs, ${failed}:\n${await bootLogs(box)}`);
  console.error(`dom0's console, ${failed}:\n${await dom0Log(box)}`);
});
