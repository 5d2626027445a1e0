// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";

/**
 * Milliseconds of dom0's clock that a shell command takes, so often. `date` is a fork and an exec as
 * well: one of the two is subtracted.
 */
export async function clockedCommand(box: Box, command: string, times: number): Promise<number[]> {
  const clock = "date +%s%N";
  const { code, stdout, stderr } = await box.exec(
    `set -e; for i in $(seq ${times}); do
      a=$(${clock}); b=$(${clock}); ${command} >&2; c=$(${clock}); echo $((c - b - (b - a)))
    done`,
    { timeoutMs: 600_000 },
  );
  if (code !== 0) throw new LightvmError("unavailable", `${command}: ${stderr}`);
  return stdout
    .trim()
    .split("\n")
    .map((line) => Number(line) / 1e6);
}

/** Milliseconds of a fork and an exec of `true`, the floor of all that starts anything. */
export async function forkExec(box: Box, times: number): Promise<number[]> {
  return await clockedCommand(box, "/bin/true", times);
}
