// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { NodeMetrics } from "../../shared/metrics.ts";
import { HELD_BACK, type PoolMetrics } from "../../toolstack/pool/metrics.ts";
import { exportPoolMetrics } from "./exported-pool-metrics.ts";

it("tells Prometheus what the pool holds and how it serves, as it is at that moment", async () => {
  const kind = { flavor: "up-1cpu-64MiB-32slots", level: "booted" } as const;
  let pool: PoolMetrics = {
    budgetBytes: 100,
    heldBytes: 70,
    kinds: [
      {
        ...kind,
        wanted: 3,
        waiting: 2,
        making: 1,
        hits: 5,
        refills: 8,
        failures: 0,
        refillSeconds: 4,
      },
    ],
    misses: { "smp-2cpu-64MiB-32slots": 2 },
    discarded: { surplus: 0, stale: 1, memory: 0, died: 0, failed: 0 },
    leaving: 0,
    heldBack: "",
  };
  const metrics = new NodeMetrics();
  exportPoolMetrics(metrics, { pool: () => pool });
  const labels = 'flavor="up-1cpu-64MiB-32slots",level="booted"';
  const first = await metrics.registry.metrics();
  for (const line of [
    `lightvmd_pool_shells{${labels},state="waiting"} 2`,
    `lightvmd_pool_hits_total{${labels}} 5`,
    'lightvmd_pool_misses_total{flavor="smp-2cpu-64MiB-32slots"} 2',
    `lightvmd_pool_refill_seconds_total{${labels}} 4`,
    'lightvmd_pool_discarded_total{reason="stale"} 1',
    'lightvmd_pool_memory_bytes{what="held"} 70',
    'lightvmd_pool_held_back{why="memory"} 0',
  ]) {
    expect(first).toContain(line);
  }
  pool = { ...pool, kinds: [], heldBack: HELD_BACK.memory };
  const second = await metrics.registry.metrics();
  expect(second).not.toContain(labels);
  expect(second).toContain('lightvmd_pool_held_back{why="memory"} 1');
  expect(second).toContain('lightvmd_pool_held_back{why="budget"} 0');
});
