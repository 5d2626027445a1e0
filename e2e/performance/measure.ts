// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import { Crictl } from "../framework/crictl.ts";
import { Daemon } from "../framework/daemon.ts";
import { Registry } from "../framework/registry.ts";
import { measureContainerd } from "./containerd.ts";
import { measureCrowd } from "./crowd.ts";
import { daemonSettings, installStillNetwork } from "./daemon-settings.ts";
import { type Plans, pushImages } from "./images.ts";
import { type Measurements, saveSeen } from "./measurements.ts";
import { measurePods, WARM_UP } from "./ours.ts";
import { say } from "./progress.ts";
import { forkExec } from "./shell-clock.ts";
import { measureToolstack } from "./toolstack.ts";
import { measureXl } from "./xl.ts";

/** What can be measured by itself while one looks for a fault. Results come from all of them in one run. */
export const PARTS = ["toolstack", "pods", "crowd", "xl", "containerd"] as const;
export type Part = (typeof PARTS)[number];

/** How much is measured. */
export interface Extent {
  readonly only: readonly Part[];
  readonly samples: number;
  /** noop guests side by side. */
  readonly crowd: number;
  /** Guests of a peer side by side: xl's become slow. */
  readonly peerCrowd: number;
}

/** Measures ours, then the peers, in one box, and saves each part. What was left out is missing. */
export async function measure(box: Box, extent: Extent): Promise<Partial<Measurements>> {
  const { crowd, only, samples } = extent;
  let seen: Partial<Measurements> = {};
  const see = async <Key extends keyof Measurements>(
    key: Key,
    work: () => Promise<Measurements[Key]>,
  ) => {
    if (key !== "forkExec" && !only.includes(key)) return;
    seen = { ...seen, [key]: await work() };
    await saveSeen(seen);
  };
  await using registry = await Registry.start(box);
  const plans = await pushImages(registry);
  await installStillNetwork(box);
  await pullImages(box, plans);
  await see("forkExec", async () => (await forkExec(box, WARM_UP + samples)).slice(WARM_UP));
  await see("toolstack", () => measureToolstack(box, extent));
  await see("pods", () => measurePods(box, plans, samples));
  await see("crowd", () => measureCrowd(box, plans.noop, crowd));
  // From here on XenStore runs.
  await see("xl", () => measureXl(box, extent));
  await see("containerd", () => measureContainerd(box, registry, plans, extent));
  return seen;
}

async function pullImages(box: Box, { busybox, noop }: Plans): Promise<void> {
  say("images");
  const daemon = new Daemon(box);
  await daemon.start({ config: daemonSettings(undefined, "bridge"), timeoutMs: 600_000 });
  const crictl = new Crictl(box);
  for (const { image } of [busybox, noop]) await crictl.must(["pull", image], 600_000);
  await daemon.end();
}
