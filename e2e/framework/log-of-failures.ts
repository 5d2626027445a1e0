// SPDX-License-Identifier: Apache-2.0
import { afterEach } from "vitest";
import { Box } from "../box/box.ts";
import { TEST_BOX } from "./box-for-tests.ts";
import { Daemon } from "./daemon.ts";

/** Lines of lightvmd's log that belong to one failure, at the most. */
const LINES = 150;

/** vitest runs it in each test file: who reads that a test failed can read what lightvmd said to it. */
afterEach(async ({ task }) => {
  const box = Box.named(TEST_BOX);
  if (task.result?.state !== "fail" || !box.running) return;
  console.error(`lightvmd's log, when "${task.name}" failed:\n${await new Daemon(box).log(LINES)}`);
});
