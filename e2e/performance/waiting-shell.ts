// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";
import type { PoolMetrics } from "../../src/toolstack/pool/metrics.ts";
import type { ShellLevel } from "../../src/toolstack/shell-record.ts";
import type { Box } from "../box/box.ts";
import { Crictl } from "../framework/crictl.ts";
import type { PodPlan } from "./probe/pod.ts";
import { holdsOnly } from "./probe/pool-contents.ts";

/** How often a pool that is being filled is looked at, and how long; real milliseconds. */
const LOOK_MS = 1000;
const FILLED_MS = 600_000;

/** Waits until the pool of lightvmd holds one shell for this VM at this level, and nothing else. */
export async function untilWaiting(box: Box, vm: PodPlan["vm"], level: ShellLevel): Promise<void> {
  const crictl = new Crictl(box);
  const deadline = AbortSignal.timeout(FILLED_MS);
  for (;;) {
    const { lightvm } = await crictl.json<{ lightvm: { pool: PoolMetrics } }>(["info"]);
    if (holdsOnly({ vm, level }, lightvm.pool)) return;
    deadline.throwIfAborted();
    await delay(LOOK_MS);
  }
}
