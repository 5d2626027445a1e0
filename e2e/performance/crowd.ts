// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import { freeMemoryBytes } from "./ours.ts";
import type { Crowd } from "./probe/crowd.ts";
import type { PodPlan } from "./probe/pod.ts";
import type { Probe } from "./probe.ts";

/** Milliseconds of the box's clock for which the pods are left alone. */
const IDLE_MS = 10_000;

/** Many pods side by side: how their creation went, and what they cost. */
export interface CrowdSample extends Crowd {
  /** Milliseconds of each pod's three calls together, in order. */
  readonly created: readonly number[];
  /** Milliseconds of each pod's stop and remove, in order. */
  readonly removed: readonly number[];
  /** Bytes of Xen's memory that all of them took. */
  readonly xenBytes: number;
}

/** Creates `pods` pods, looks at them, removes them. */
export async function sampleCrowd(
  box: Box,
  probe: Probe,
  plan: PodPlan,
  pods: number,
): Promise<CrowdSample> {
  const before = await freeMemoryBytes(box);
  const created = await probe.fill(plan, pods);
  const xenBytes = before - (await freeMemoryBytes(box));
  const crowd = await probe.look(IDLE_MS);
  return { ...crowd, created, xenBytes, removed: await probe.empty() };
}
