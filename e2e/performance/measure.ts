// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import { Containerd } from "../framework/containerd.ts";
import { Crictl } from "../framework/crictl.ts";
import { Daemon } from "../framework/daemon.ts";
import { Registry } from "../framework/registry.ts";
import { type CrowdSample, sampleCrowd } from "./crowd.ts";
import { type Plans, pushImages } from "./images.ts";
import { type PodSample, samplePod } from "./ours.ts";
import { type LevelSample, levelSettings, sampleLevels, untilWaiting } from "./pool-levels.ts";
import type { PodPlan, PodTimes } from "./probe/pod.ts";
import { Probe } from "./probe.ts";
import { fillXl, forkExec, prepareXl, sampleXl, type XlSample } from "./xl.ts";

/** How much is measured. */
export interface Extent {
  readonly samples: number;
  /** noop pods side by side. */
  readonly crowd: number;
  /** Guests of a peer side by side: xl's become slow. */
  readonly peerCrowd: number;
}

/** Everything that one run has seen, ours and the peers'. Times in virtual milliseconds. */
export interface Measurements {
  /** Tinyx pods without a pool, step by step. */
  readonly pods: readonly PodSample[];
  readonly levels: readonly LevelSample[];
  /** Busybox pods from booted shells, CRI call by CRI call. */
  readonly busybox: readonly PodTimes[];
  /** noop pods from prepared shells. */
  readonly noop: readonly PodTimes[];
  /** noop pods without a pool. */
  readonly coldNoop: readonly PodTimes[];
  readonly crowd: CrowdSample;
  readonly xl: readonly XlSample[];
  readonly xlCrowd: readonly number[];
  readonly containerd: readonly PodTimes[];
  readonly containerdCrowd: readonly number[];
  readonly forkExec: readonly number[];
}

/** The first of each kind warms dom0's page cache and is not counted. */
const WARM_UP = 1;
const EXECS = 5;
const SLOW = { timeoutMs: 600_000 };

/** Measures ours, then the peers, in one box. */
export async function measure(box: Box, extent: Extent): Promise<Measurements> {
  await using registry = await Registry.start(box);
  const plans = await pushImages(registry);
  const ours = await measureOurs(box, plans, extent);
  say("xl");
  await prepareXl(box);
  const xl = await repeat("xl", WARM_UP + extent.samples, () => sampleXl(box));
  const xlCrowd = await fillXl(box, extent.peerCrowd);
  const peer = await measureContainerd(box, registry, plans, extent);
  const floor = await forkExec(box, extent.samples);
  return { ...ours, xl: xl.slice(WARM_UP), xlCrowd, ...peer, forkExec: floor };
}

async function measureOurs(
  box: Box,
  { busybox, noop }: Plans,
  { crowd, samples }: Extent,
): Promise<Omit<Measurements, "xl" | "xlCrowd" | "containerd" | "containerdCrowd" | "forkExec">> {
  const daemon = new Daemon(box);
  await daemon.start(SLOW);
  const crictl = new Crictl(box);
  for (const { image } of [busybox, noop]) await crictl.must(["pull", image], 600_000);
  const all = await repeat("pod", WARM_UP + samples, (i) => samplePod(box, `bench-${i}`));
  const probe = await Probe.install(box, "lightvm");
  say("noop pods without a pool");
  const cold = await probe.life(noop, { pods: WARM_UP + samples, execs: 0 });
  say(`${crowd} noop pods side by side`);
  const many = await sampleCrowd(box, probe, noop, crowd);
  const levels = await sampleLevels(box, daemon, samples);
  const from = async (plan: PodPlan, level: LevelSample["level"], execs: number) =>
    await repeat(`${level} shell`, WARM_UP + samples, async () => {
      await daemon.reload(levelSettings(level, 1));
      await untilWaiting(box, 1);
      return await probe.life(plan, { pods: 1, execs });
    });
  const busyboxes = (await from(busybox, "booted", EXECS)).flat().slice(WARM_UP);
  const noops = (await from(noop, "prepared", 0)).flat().slice(WARM_UP);
  await daemon.end();
  return {
    pods: all.slice(WARM_UP),
    levels,
    busybox: busyboxes,
    noop: noops,
    coldNoop: cold.slice(WARM_UP),
    crowd: many,
  };
}

async function measureContainerd(
  box: Box,
  registry: Registry,
  { busybox }: Plans,
  { peerCrowd, samples }: Extent,
): Promise<Pick<Measurements, "containerd" | "containerdCrowd">> {
  say("containerd and runc");
  const url = `http://${registry.host}`;
  const mirrors = { [registry.host]: url, "registry.k8s.io": url };
  await using _containerd = await Containerd.start(box, { mirrors });
  const endpoint = ["--runtime-endpoint", Containerd.endpoint, "--image-endpoint"];
  const crictl = new Crictl(box);
  await crictl.must([...endpoint, Containerd.endpoint, "pull", busybox.image], 600_000);
  const probe = await Probe.install(box, "containerd");
  const all = await probe.life(busybox, { pods: WARM_UP + samples, execs: EXECS });
  const containerdCrowd = await probe.fill(busybox, peerCrowd);
  await probe.empty();
  return { containerd: all.slice(WARM_UP), containerdCrowd };
}

async function repeat<T>(what: string, times: number, sample: (i: number) => Promise<T>) {
  const samples: T[] = [];
  for (let i = 0; i < times; i++) {
    say(`${what} ${i + 1}/${times}`);
    samples.push(await sample(i));
  }
  return samples;
}

function say(what: string): void {
  console.error(`[bench] ${what}`);
}
