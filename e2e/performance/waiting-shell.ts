// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";
import { flavorName, flavorOf } from "../../src/toolstack/flavor.ts";
import type { PoolMetrics } from "../../src/toolstack/pool/metrics.ts";
import type { ShellLevel } from "../../src/toolstack/shell-record.ts";
import type { Box } from "../box/box.ts";
import { Crictl } from "../framework/crictl.ts";
import type { PodPlan } from "./probe/pod.ts";

/** How often a pool that is being filled is looked at, and how long; real milliseconds. */
const LOOK_MS = 1000;
const FILLED_MS = 600_000;
/** lightvmd's default. */
const DEVICE_SLOTS = 32;

/** Waits until the pool of lightvmd holds one shell for this VM at this level, and nothing else. */
export async function untilWaiting(box: Box, vm: PodPlan["vm"], level: ShellLevel): Promise<void> {
  const wanted = flavorName(flavorOf(vm, DEVICE_SLOTS));
  const crictl = new Crictl(box);
  const deadline = AbortSignal.timeout(FILLED_MS);
  for (;;) {
    const { lightvm } = await crictl.json<{ lightvm: { pool: PoolMetrics } }>(["info"]);
    const { kinds, leaving } = lightvm.pool;
    const others = kinds.filter((kind) => kind.flavor !== wanted || kind.level !== level);
    const own = kinds.filter((kind) => !others.includes(kind));
    const count = (some: typeof kinds) =>
      some.reduce((sum, { making, waiting }) => sum + making + waiting, 0);
    const waiting = own.reduce((sum, kind) => sum + kind.waiting, 0);
    if (waiting === 1 && count(own) === 1 && count(others) === 0 && leaving === 0) return;
    deadline.throwIfAborted();
    await delay(LOOK_MS);
  }
}
