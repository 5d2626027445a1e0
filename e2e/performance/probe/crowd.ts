// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { call } from "../../../test/harness/cri-call.ts";
import type { Steps } from "../report/steps.ts";
import { type Cri, timed } from "./cri.ts";
import { type PodPlan, podSteps, removePod, startPod, threeCalls } from "./pod.ts";
import { availableBytes, privateBytes, processesOf, processorTime } from "./processes.ts";

/** How the creation of many pods went. */
export interface Filled {
  /** Milliseconds of each pod's three calls together, in order. */
  readonly created: readonly number[];
  /** Where the toolstack's part of it went, in order; empty where the runtime does not tell. */
  readonly steps: readonly Steps[];
  /** Bytes that dom0's Linux has less to give to programs than before. */
  readonly dom0Bytes: number;
}

/** What many pods cost while nobody asks anything of them. */
export interface Crowd {
  /** Milliseconds of ListPodSandbox, ListContainers and ListPodSandboxStats with all of them, in order. */
  readonly lists: Readonly<Record<"pods" | "containers" | "stats", readonly number[]>>;
  /** Processor time while nothing was asked, milliseconds. */
  readonly idle: {
    readonly daemon: number;
    /** Of the processes of which each pod has one: VMMs, shims. */
    readonly helpers: number;
    /** Of what is in the pods, by the runtime's own account: for VMs that is Xen's. */
    readonly pods: number;
    readonly overMs: number;
  };
  /** Private memory of all helpers, bytes. */
  readonly helperBytes: number;
}

/** Which processes belong to a runtime. */
export interface RuntimeProcesses {
  readonly daemonPidFile: string;
  /** Name of the program of which each pod has a process. */
  readonly helper: string;
}

/** Until what a creation leaves to be done is done; milliseconds. */
const SETTLE_MS = 2000;
/** Kubelet lists every few seconds, so the first answer, by code that has never run, is one of several. */
const LIST_CALLS = 5;

/** Creates pods one after the other, and leaves them there. */
export async function fill(cri: Cri, plan: PodPlan, pods: number): Promise<Filled> {
  const created: number[] = [];
  const steps: Steps[] = [];
  const before = availableBytes();
  for (let i = 0; i < pods; i++) {
    const { sandbox, times } = await startPod(cri, plan, `crowd-${i}`);
    created.push(threeCalls(times));
    steps.push(...(await podSteps(cri, sandbox)));
  }
  await delay(SETTLE_MS);
  return { created, steps, dom0Bytes: before - availableBytes() };
}

/** Looks at the pods that there are, and at what they do in `idleMs` of being left alone. */
export async function look(cri: Cri, runtime: RuntimeProcesses, idleMs: number): Promise<Crowd> {
  const lists = await timeLists(cri);
  const helpers = processesOf(runtime.helper);
  const daemon = [Number(readFileSync(runtime.daemonPidFile, "utf8"))];
  await delay(SETTLE_MS);
  const podsBefore = await podTime(cri);
  const before = { helpers: processorTime(helpers), daemon: processorTime(daemon) };
  await delay(idleMs);
  const after = { helpers: processorTime(helpers), daemon: processorTime(daemon) };
  const idle = {
    helpers: (after.helpers - before.helpers) / 1e6,
    daemon: (after.daemon - before.daemon) / 1e6,
    pods: (await podTime(cri)) - podsBefore,
    overMs: idleMs,
  };
  return { lists, idle, helperBytes: privateBytes(helpers) };
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
  const lists = { pods: [] as number[], containers: [] as number[], stats: [] as number[] };
  for (let i = 0; i < LIST_CALLS; i++) {
    const pods = await timed(() => call(runtime, runtime.listPodSandbox, { filter }));
    const containers = await timed(() => call(runtime, runtime.listContainers, { filter }));
    const stats = await timed(() => call(runtime, runtime.listPodSandboxStats, { filter }));
    lists.pods.push(pods.ms);
    lists.containers.push(containers.ms);
    lists.stats.push(stats.ms);
  }
  return lists;
}

/** Processor time of all pods together, milliseconds. */
async function podTime({ runtime }: Cri): Promise<number> {
  const { stats } = await call(runtime, runtime.listPodSandboxStats, { filter: undefined });
  const nanoseconds = stats.map(({ linux }) => linux?.cpu?.usageCoreNanoSeconds?.value ?? 0n);
  return Number(nanoseconds.reduce((sum, each) => sum + each, 0n)) / 1e6;
}
