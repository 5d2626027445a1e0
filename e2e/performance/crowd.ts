// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import { Daemon } from "../framework/daemon.ts";
import { daemonSettings } from "./daemon-settings.ts";
import { freeMemoryBytes, RUN_IN_QUICK } from "./ours.ts";
import type { Crowd, Filled } from "./probe/crowd.ts";
import type { PodPlan } from "./probe/pod.ts";
import { Probe } from "./probe.ts";
import { say } from "./progress.ts";
import { IDLE_MS } from "./toolstack.ts";

/** Many noop pods side by side, through the CRI: how their creation went, and what they cost. */
export interface CrowdSample extends Crowd, Filled {
  /** What the runtime needs without any pods. */
  readonly idleBefore: Crowd["idle"];
  /** Milliseconds of each pod's stop and remove, in order. */
  readonly removed: readonly number[];
  /** Bytes of Xen's memory that all of them took. */
  readonly xenBytes: number;
}

/** Creates `pods` pods in a network that does nothing, looks at them, removes them. */
export async function measureCrowd(box: Box, plan: PodPlan, pods: number): Promise<CrowdSample> {
  say(`${pods} noop pods side by side`);
  const daemon = new Daemon(box);
  await daemon.start({ config: daemonSettings(undefined, "still"), timeoutMs: 600_000 });
  const probe = await Probe.install(box, "lightvm");
  await probe.life(plan, { pods: RUN_IN_QUICK, execs: 0 });
  const { idle: idleBefore } = await probe.look(IDLE_MS);
  const before = await freeMemoryBytes(box);
  const filled = await probe.fill(plan, pods);
  const xenBytes = before - (await freeMemoryBytes(box));
  const crowd = await probe.look(IDLE_MS);
  const removed = await probe.empty();
  await daemon.end();
  return { ...filled, ...crowd, idleBefore, xenBytes, removed };
}
