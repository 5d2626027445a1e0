// SPDX-License-Identifier: Apache-2.0
// Runs in the box: the toolstack alone, first on an idle machine, then beside more and more guests. One
// JSON document in, one out.
import { readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { PodVm } from "../../../../src/toolstack/pod-vm.ts";
import { SHELL_LEVELS, type ShellLevel } from "../../../../src/toolstack/shell-record.ts";
import { requireTaken, type Steps } from "../../report/steps.ts";
import { availableBytes, privateBytes, processesOf, processorTime } from "../processes.ts";
import { BareToolstack, type GuestKind } from "./bare-toolstack.ts";

/** What is to be measured. */
export interface ToolstackRequest {
  readonly samples: number;
  /** So many noop guests run when everything is measured again; ascending. */
  readonly marks: readonly number[];
  /** Milliseconds for which the guests are left alone. */
  readonly idleMs: number;
}

/** Creates of one kind of guest at one level; "none" = without a pool. */
export interface LevelSample {
  readonly kind: GuestKind;
  readonly level: ShellLevel | "none";
  readonly creates: readonly Steps[];
}

/** Bytes that are free or taken now. */
export interface MemorySample {
  readonly xenFree: number;
  readonly vmmPrivate: number;
  /** What dom0's Linux could give to programs: page tables and the like of VMMs are missing from it. */
  readonly dom0Available: number;
}

/** Processor time while nobody asked for anything, in milliseconds. */
export interface IdleSample {
  readonly overMs: number;
  /** By Xen's account. dom0's is all of its: kernel, VMMs, this process, whatever else runs. */
  readonly guests: number;
  readonly dom0: number;
  /** By dom0's account. */
  readonly vmms: number;
}

/** What was seen while so many noop guests ran. */
export interface Mark {
  readonly guests: number;
  readonly memory: MemorySample;
  readonly idle: IdleSample;
  readonly levels: readonly LevelSample[];
}

/** Everything that was seen. */
export interface ToolstackReport {
  readonly marks: readonly Mark[];
  /** Creates of the noop guests, in order, without a pool. */
  readonly crowd: readonly Steps[];
}

/** Creates of both kinds before anything is measured: Node compiles what is run often, as on any node. */
const RUN_IN = 60;
/** The first create of each kind finds caches cold and is not counted. */
const WARM_UP = 1;
/** Until what a create leaves to be done is done; milliseconds. */
const SETTLE_MS = 2000;
/** Until what a destroyed VM leaves to Xen and dom0 is done: its end is no part of the next one's start. */
const AFTERMATH_MS = 200;

const tinyx = new BareToolstack("tinyx");
const noop = new BareToolstack("noop");

async function sampleLevel(kind: GuestKind, level: LevelSample["level"], samples: number) {
  const bare = kind === "tinyx" ? tinyx : noop;
  const creates: Steps[] = [];
  for (let i = 0; i < WARM_UP + samples; i++) {
    await bare.keep(level === "none" ? undefined : level);
    await delay(AFTERMATH_MS);
    const { vm, steps } = await bare.make();
    await vm.destroy();
    if (i >= WARM_UP) creates.push(level === "none" ? steps : requireTaken(steps, level));
  }
  await bare.keep(undefined);
  return { kind, level, creates };
}

function sampleMemory(): MemorySample {
  return {
    xenFree: Number(noop.toolstack.host().freeMemoryBytes),
    vmmPrivate: privateBytes(processesOf("lightvm-vmm")),
    dom0Available: availableBytes(),
  };
}

async function sampleIdle(idleMs: number): Promise<IdleSample> {
  const processes = processesOf("lightvm-vmm");
  const look = () => {
    const domains = [...noop.toolstack.domains()].map(([id, { cpuNanoseconds: time }]) => ({
      id,
      time,
    }));
    const total = (chosen: typeof domains) =>
      chosen.reduce((sum, { time }) => sum + Number(time) / 1e6, 0);
    return {
      at: performance.now(),
      guests: total(domains.filter(({ id }) => id !== 0)),
      dom0: total(domains.filter(({ id }) => id === 0)),
      vmms: processorTime(processes) / 1e6,
    };
  };
  const before = look();
  await delay(idleMs);
  const after = look();
  return {
    overMs: after.at - before.at,
    guests: after.guests - before.guests,
    dom0: after.dom0 - before.dom0,
    vmms: after.vmms - before.vmms,
  };
}

async function run({ idleMs, marks, samples }: ToolstackRequest): Promise<ToolstackReport> {
  const seen: Mark[] = [];
  const crowd: { vm: PodVm; steps: Steps }[] = [];
  for (let i = 0; i < RUN_IN; i++) {
    for (const kind of [tinyx, noop]) await (await kind.make()).vm.destroy();
  }
  for (const guests of marks) {
    while (crowd.length < guests) crowd.push(await noop.make());
    await delay(SETTLE_MS);
    const memory = sampleMemory();
    const idle = await sampleIdle(idleMs);
    const levels: LevelSample[] = [];
    for (const level of ["none", ...SHELL_LEVELS] as const) {
      levels.push(await sampleLevel("tinyx", level, samples));
    }
    for (const level of ["none", "prepared"] as const) {
      levels.push(await sampleLevel("noop", level, samples));
    }
    seen.push({ guests, memory, idle, levels });
    console.error(`[toolstack] measured beside ${guests} guests`);
  }
  for (const { vm } of crowd) await vm.destroy();
  for (const bare of [tinyx, noop]) await bare.close();
  return { marks: seen, crowd: crowd.map(({ steps }) => steps) };
}

const request = JSON.parse(readFileSync(0, "utf8")) as ToolstackRequest;
process.stdout.write(JSON.stringify(await run(request)), () => process.exit());
