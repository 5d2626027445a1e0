// SPDX-License-Identifier: Apache-2.0
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { LightvmError } from "../shared/errors.ts";
import type { ProcessExit } from "../shared/process-starter.ts";
import { waitFor } from "../shared/wait.ts";

const TAIL_BYTES = 4096;
/** Between the end of the connection and waitpid's answer; both come from one exit(2). */
const EXIT_GRACE_MS = 1000;

/**
 * The error that says how a VMM was lost: its exit code or signal, if it was our child, and the
 * last line that it wrote.
 */
export async function explainVmmDeath(
  logPath: string,
  exited: Promise<ProcessExit> | undefined,
): Promise<LightvmError> {
  const how = await describeExit(exited);
  const [last] = lastLines(logPath, 1);
  const said = last === undefined ? "" : `; its last words: ${last}`;
  return new LightvmError("unavailable", `the VMM process ${how}${said}`);
}

async function describeExit(exited: Promise<ProcessExit> | undefined): Promise<string> {
  if (exited === undefined) return "closed its connection";
  try {
    const { exitCode, signal } = await waitFor(exited, "the exit", { timeoutMs: EXIT_GRACE_MS });
    return signal === null ? `ended with exit code ${exitCode}` : `was ended by ${signal}`;
  } catch {
    // The deadline is waitFor's only failure here: the process lives without its connection.
    return "closed its connection";
  }
}

/** The last non-empty lines of a text file, oldest first; none when it cannot be read. */
export function lastLines(path: string, count: number): string[] {
  let file: number;
  try {
    file = openSync(path, "r");
  } catch {
    return [];
  }
  try {
    const start = Math.max(0, fstatSync(file).size - TAIL_BYTES);
    const tail = Buffer.alloc(TAIL_BYTES);
    const length = readSync(file, tail, 0, TAIL_BYTES, start);
    const lines = tail.toString("utf8", 0, length).split(/\r?\n/);
    return lines.filter((line) => line.trim() !== "").slice(-count);
  } finally {
    closeSync(file);
  }
}
