// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

/** Ids of the processes that run a program of this name. */
export function processesOf(program: string): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && executable(pid).endsWith(`/${program}`));
}

/** Nanoseconds that all threads of these processes have run (first field of proc's schedstat). */
export function processorTime(processes: readonly number[]): number {
  const threads = processes.flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}/schedstat`),
  );
  return threads.reduce((sum, file) => sum + Number(readFileSync(file, "utf8").split(" ")[0]), 0);
}

/** Bytes of these processes that nobody shares with them. */
export function privateBytes(processes: readonly number[]): number {
  const rollups = processes.map((pid) => readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"));
  const fields = rollups.flatMap((text) => [
    ...text.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm),
  ]);
  return fields.reduce((sum, [, kibibytes]) => sum + Number(kibibytes) * 1024, 0);
}

/** Bytes that dom0's Linux could give to programs. */
export function availableBytes(): number {
  const [, kibibytes] =
    /^MemAvailable:\s+(\d+) kB/m.exec(readFileSync("/proc/meminfo", "utf8")) ?? [];
  if (kibibytes === undefined) throw new Error("/proc/meminfo has no MemAvailable");
  return Number(kibibytes) * 1024;
}

function executable(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    // A kernel thread, or a process that has just ended.
    return "";
  }
}
