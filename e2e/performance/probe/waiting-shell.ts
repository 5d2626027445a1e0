// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";
import type { PoolMetrics } from "../../../src/toolstack/pool/metrics.ts";
import { call } from "../../../test/harness/cri-call.ts";
import type { Cri } from "./cri.ts";
import { holdsOnly, type WantedShell } from "./pool-contents.ts";

/** How often a pool that is being filled is looked at, and how long; milliseconds. */
const LOOK_MS = 1000;
const FILLED_MS = 600_000;

/** Waits until the pool of lightvmd holds one such shell and nothing else. */
export async function untilWaiting({ runtime }: Cri, wanted: WantedShell): Promise<void> {
  const deadline = AbortSignal.timeout(FILLED_MS);
  for (;;) {
    const { info } = await call(runtime, runtime.status, { verbose: true });
    const { pool } = JSON.parse(info["lightvm"] ?? "{}") as { pool?: PoolMetrics };
    if (pool === undefined) throw new Error("the runtime tells nothing of a pool");
    if (holdsOnly(wanted, pool)) return;
    deadline.throwIfAborted();
    await delay(LOOK_MS);
  }
}
