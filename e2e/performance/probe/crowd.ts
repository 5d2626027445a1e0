// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { call } from "../../../test/harness/cri-call.ts";
import { type Cri, timed } from "./cri.ts";
import { type PodPlan, removePod, startPod } from "./pod.ts";

/** What many pods cost while nobody asks anything of them. */
export interface Crowd {
  /** Milliseconds of ListPodSandbox, ListContainers and ListPodSandboxStats with all of them. */
  readonly lists: Readonly<Record<"pods" | "containers" | "stats", number>>;
  /** Processor time of all VMM processes and of lightvmd while nothing was asked, milliseconds. */
  readonly idle: {
    readonly vmms: number;
    readonly daemon: number;
    /** Processor time of the guests by Xen's account. */
    readonly guests: number;
    readonly overMs: number;
  };
  /** Private memory of all VMM processes, bytes. */
  readonly vmmBytes: number;
}

/** /proc/PID/stat counts in ticks of this many milliseconds (USER_HZ). */
const TICK_MS = 10;

/** Creates pods one after the other; the milliseconds of each one's three calls together. */
export async function fill(cri: Cri, plan: PodPlan, pods: number): Promise<number[]> {
  const created: number[] = [];
  for (let i = 0; i < pods; i++) {
    const { create, run, start } = (await startPod(cri, plan, `crowd-${i}`)).times;
    created.push(run + create + start);
  }
  return created;
}

/** Looks at the pods that there are, and at what they do in `idleMs` of being left alone. */
export async function look(cri: Cri, idleMs: number): Promise<Crowd> {
  const lists = await timeLists(cri);
  const guestsBefore = await guestTime(cri);
  const before = processorTime();
  await delay(idleMs);
  const after = processorTime();
  const idle = {
    vmms: after.vmms - before.vmms,
    daemon: after.daemon - before.daemon,
    guests: (await guestTime(cri)) - guestsBefore,
    overMs: idleMs,
  };
  const vmmBytes = vmmProcesses().reduce((sum, pid) => sum + privateBytes(pid), 0);
  return { lists, idle, vmmBytes };
}

/** Stops and removes every pod; the milliseconds of each. */
export async function empty(cri: Cri): Promise<number[]> {
  const removed: number[] = [];
  const { items } = await call(cri.runtime, cri.runtime.listPodSandbox, { filter: undefined });
  for (const { id } of items) {
    const { remove, stop } = await removePod(cri, id);
    removed.push(stop + remove);
  }
  return removed;
}

async function timeLists({ runtime }: Cri): Promise<Crowd["lists"]> {
  const filter = undefined;
  const pods = await timed(() => call(runtime, runtime.listPodSandbox, { filter }));
  const containers = await timed(() => call(runtime, runtime.listContainers, { filter }));
  const stats = await timed(() => call(runtime, runtime.listPodSandboxStats, { filter }));
  return { pods: pods.ms, containers: containers.ms, stats: stats.ms };
}

/** Processor time of all pods together, milliseconds. */
async function guestTime({ runtime }: Cri): Promise<number> {
  const { stats } = await call(runtime, runtime.listPodSandboxStats, { filter: undefined });
  const nanoseconds = stats.map(({ linux }) => linux?.cpu?.usageCoreNanoSeconds?.value ?? 0n);
  return Number(nanoseconds.reduce((sum, each) => sum + each, 0n)) / 1e6;
}

function processorTime(): { vmms: number; daemon: number } {
  const vmms = vmmProcesses().reduce((sum, pid) => sum + ticks(pid), 0) * TICK_MS;
  const daemon = Number(readFileSync("/run/lightvmd.pid", "utf8"));
  return { vmms, daemon: ticks(daemon) * TICK_MS };
}

function vmmProcesses(): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && executable(pid).endsWith("/lightvm-vmm"));
}

function executable(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    // A kernel thread, or a process that has just ended.
    return "";
  }
}

/** utime and stime: fields 14 and 15 of proc(5), after the name in parentheses. */
function ticks(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return Number(fields[14 - 3]) + Number(fields[15 - 3]);
}

function privateBytes(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8");
  const fields = rollup.matchAll(/^Private_(?:Clean|Dirty):\s+(\d+) kB/gm);
  return [...fields].reduce((sum, [, kibibytes]) => sum + Number(kibibytes) * 1024, 0);
}
