// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { silentLogger } from "../../shared/logger.ts";
import type { Shells } from "../shells.ts";
import { PoolCounters } from "./metrics.ts";
import { Refill } from "./refill.ts";

const MIB = 1024 * 1024;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it("a shell that could not be made is tried again as soon as it has waited long enough", async () => {
  const prepare = vi.fn(() => Promise.reject(new Error("the disk is full")));
  const shells = { prepare, admission: { missing: () => 0 } } as unknown as Shells;
  const flavor = { vcpus: 1, memoryBytes: 64 * MIB, deviceSlots: 32 };
  const request = {
    targets: [{ flavor, level: "booted", size: 1 }],
    waiting: [],
    budgetBytes: 1024 * MIB,
    atOnce: 1,
  } as const;
  const refill = new Refill({
    shells,
    hostBytes: () => 4096 * MIB,
    counters: new PoolCounters(),
    logger: silentLogger(),
    onMade: () => undefined,
    onChanged: () => refill.fill(request),
  });
  refill.fill(request);
  // It waits for one second, then for two, then for four.
  for (const [seconds, attempts] of [
    [0.9, 1],
    [0.2, 2],
    [1.8, 2],
    [0.2, 3],
    [3.8, 3],
    [0.2, 4],
  ] as const) {
    await vi.advanceTimersByTimeAsync(seconds * 1000);
    expect(prepare).toHaveBeenCalledTimes(attempts);
  }
});
