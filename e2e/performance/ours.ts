// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import { Crictl } from "../framework/crictl.ts";
import { Daemon } from "../framework/daemon.ts";
import { daemonSettings, type PoolOfOne } from "./daemon-settings.ts";
import type { Plans } from "./images.ts";
import type { PodPlan, PodTimes } from "./probe/pod.ts";
import { Probe } from "./probe.ts";
import { repeat, say } from "./progress.ts";
import { requireTaken } from "./report/steps.ts";

/** Host memory that one pod took, bytes. */
export interface PodMemory {
  /** Of the VMM process, what nobody shares. */
  readonly vmmPrivateBytes: number;
  readonly vmmResidentBytes: number;
  /** What Xen's free memory shrank by: guest RAM and Xen's own. */
  readonly xenBytes: number;
}

/** Our pods through the CRI. Times in virtual milliseconds. */
export interface OurPods {
  /** Tinyx pods, each with busybox in it. */
  readonly memory: readonly PodMemory[];
  /** Busybox pods without a pool, and from booted shells. */
  readonly cold: readonly PodTimes[];
  readonly booted: readonly PodTimes[];
  /** noop pods from prepared shells, in a network that does nothing. */
  readonly noop: readonly PodTimes[];
}

/** The first of each kind finds caches cold, its client's too, and is not counted. */
export const WARM_UP = 1;
/**
 * Pods before those from a pool: it learns from them what is wanted, and Node compiles what is run often. As
 * many more as are quick to make.
 */
const RUN_IN = 3;
export const RUN_IN_QUICK = 20;
/** Commands in each pod. */
export const EXECS = 5;

async function number(box: Box, command: string): Promise<number> {
  const { stdout, code } = await box.exec(command, { timeoutMs: 300_000 });
  if (code !== 0 || stdout.trim() === "") throw new Error(`no figure from: ${command}`);
  return Number(stdout);
}

/** What Xen has to give away, by the account of a lightvmd that runs. */
export async function freeMemoryBytes(box: Box): Promise<number> {
  const { lightvm } = await new Crictl(box).json<{ lightvm: { xen: { freeMemoryBytes: number } } }>(
    ["info"],
  );
  return lightvm.xen.freeMemoryBytes;
}

/** Runs one pod with a container that sleeps, looks at what it takes, removes it. */
export async function samplePodMemory(box: Box, name: string, image: string): Promise<PodMemory> {
  const crictl = new Crictl(box);
  const freeBefore = await freeMemoryBytes(box);
  const sandbox = await crictl.runPod({ name });
  await crictl.start(sandbox, { name: "main", image, command: ["sleep", "1000000"] }, { name });
  const rollup = (field: string) =>
    number(
      box,
      `awk '/^${field}/ { sum += $2 } END { print sum }' /proc/$(pgrep -x lightvm-vmm)/smaps_rollup`,
    );
  const sample = {
    vmmPrivateBytes: (await rollup("Private_(Clean|Dirty)")) * 1024,
    vmmResidentBytes: (await rollup("Rss")) * 1024,
    xenBytes: freeBefore - (await freeMemoryBytes(box)),
  };
  await crictl.removePod(sandbox);
  return sample;
}

/** Measures our pods; no lightvmd runs before and after. */
export async function measurePods(
  box: Box,
  { busybox, noop }: Plans,
  samples: number,
): Promise<OurPods> {
  const daemon = new Daemon(box);
  const times = WARM_UP + samples;
  const probe = await Probe.install(box, "lightvm");
  const start = async (network: "bridge" | "still") =>
    await daemon.start({ config: daemonSettings(undefined, network), timeoutMs: 600_000 });
  await start("bridge");
  const memory = await repeat("pod", times, (i) => samplePodMemory(box, `m${i}`, busybox.image));
  const cold = await probe.life(busybox, { pods: times, execs: EXECS });
  const booted = await fromShells({ daemon, probe, network: "bridge" }, busybox, "booted", times);
  await daemon.end();
  // Anew: what a pool has learnt from other pods would fill it.
  await start("still");
  const prepared = await fromShells({ daemon, probe, network: "still" }, noop, "prepared", times);
  await daemon.end();
  return {
    memory: memory.slice(WARM_UP),
    cold: cold.slice(WARM_UP),
    booted: booted.slice(WARM_UP),
    noop: prepared.slice(WARM_UP),
  };
}

interface Stage {
  readonly daemon: Daemon;
  readonly probe: Probe;
  readonly network: "bridge" | "still";
}

/** Pods that take shells of this level, one after the other. */
async function fromShells(
  { daemon, probe, network }: Stage,
  plan: PodPlan,
  level: NonNullable<PoolOfOne>,
  times: number,
): Promise<PodTimes[]> {
  const execs = plan.command.length > 0 ? EXECS : 0;
  await daemon.reload(daemonSettings(level, network));
  await probe.life(plan, { pods: plan.vm.unikernel ? RUN_IN_QUICK : RUN_IN, execs });
  say(`${times} pods from ${level} shells`);
  const all = await probe.life(plan, { pods: times, execs, from: level });
  await daemon.reload(daemonSettings(undefined, network));
  for (const { steps } of all) requireTaken(steps[0] ?? [], level);
  return all;
}
