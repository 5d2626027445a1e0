// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { constants, setPriority } from "node:os";
import { setTimeout as delay } from "node:timers/promises";

/** One process for good: a pid alone may have been given to another since. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Start time in clock ticks since boot: field 22 of /proc/PID/stat (proc(5)). */
  readonly startTime: string;
}

/** How often a process that is not our child is looked at while its end is awaited. */
const POLL_MS = 10;

/** The identity of a process that runs now; undefined when there is none (a zombie is none). */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    // No such entry: no such process.
    return undefined;
  }
  // Field 2 is the command in parentheses and may itself hold spaces and parentheses.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const state = fields[0];
  const startTime = fields[22 - 3];
  if (startTime === undefined || state === "Z" || state === "X") return undefined;
  return { pid, startTime };
}

/** Whether that very process still runs. */
export function isRunning(process: ProcessIdentity): boolean {
  return identifyProcess(process.pid)?.startTime === process.startTime;
}

/** Sends a signal to that very process; false when it is gone already. */
export function signalProcess(target: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(target)) return false;
  try {
    return process.kill(target.pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/** Lets a process run only when nobody else wants the CPU, or as any other again. */
export function setBackground(target: ProcessIdentity, background: boolean): void {
  const { PRIORITY_LOW, PRIORITY_NORMAL } = constants.priority;
  try {
    setPriority(target.pid, background ? PRIORITY_LOW : PRIORITY_NORMAL);
  } catch (error) {
    // ESRCH: its end is told elsewhere. EACCES: who is not root can only lower a priority.
    const { ESRCH, EACCES } = constants.errno;
    const { errno = 0 } = error as NodeJS.ErrnoException;
    if (![ESRCH, EACCES].includes(-errno)) throw error;
  }
}

/**
 * Waits for the end of a process that need not be our child; false when `timeoutMs` passes first.
 * Node has no pidfd, so this looks again and again.
 */
export async function waitUntilGone(process: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = performance.now() + timeoutMs;
  while (isRunning(process)) {
    if (performance.now() >= deadline) return false;
    await delay(POLL_MS);
  }
  return true;
}
