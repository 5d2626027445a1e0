// SPDX-License-Identifier: Apache-2.0
import { Counter, Gauge } from "prom-client";
import type { NodeMetrics } from "../../shared/metrics.ts";
import { HELD_BACK, type PoolMetrics } from "../../toolstack/pool/metrics.ts";
import type { Toolstack } from "../../toolstack/toolstack.ts";

/** Labels, and a value that the pool knows at the moment. */
type Sample = readonly [Record<string, string>, number];
type Look = (pool: PoolMetrics) => Iterable<Sample>;

type Kind = PoolMetrics["kinds"][number];

/** Adds the pool of shells to the metrics that Prometheus gets; looked up when somebody asks. */
export function exportPoolMetrics(
  { registry }: NodeMetrics,
  toolstack: Pick<Toolstack, "pool">,
): void {
  const registers = [registry];
  const gauge = (name: string, help: string, labelNames: string[], look: Look) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const [labels, value] of look(toolstack.pool())) this.set(labels, value);
      },
    });
  const counter = (name: string, help: string, labelNames: string[], look: Look) =>
    new Counter({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.reset();
        for (const [labels, value] of look(toolstack.pool())) this.inc(labels, value);
      },
    });
  const ofKind = ["flavor", "level"];
  gauge("lightvmd_pool_shells", "Shells, and how many are wanted", [...ofKind, "state"], states);
  gauge(
    "lightvmd_pool_memory_bytes",
    "Xen memory that shells hold, and may hold",
    ["what"],
    memory,
  );
  gauge(
    "lightvmd_pool_held_back",
    "1 while something keeps the pool from being refilled: memory, its budget, failures",
    ["why"],
    ({ heldBack }) =>
      Object.entries(HELD_BACK).map(([why, said]) => [{ why }, said === heldBack ? 1 : 0]),
  );
  counter("lightvmd_pool_hits_total", "Pods that took a shell", ofKind, each("hits"));
  counter("lightvmd_pool_misses_total", "Pods that found no shell", ["flavor"], ({ misses }) =>
    Object.entries(misses).map(([flavor, count]) => [{ flavor }, count]),
  );
  counter("lightvmd_pool_refills_total", "Shells made", ofKind, each("refills"));
  counter("lightvmd_pool_refill_failures_total", "Shells not made", ofKind, each("failures"));
  counter(
    "lightvmd_pool_refill_seconds_total",
    "Time that the making of shells took",
    ofKind,
    each("refillSeconds"),
  );
  counter(
    "lightvmd_pool_discarded_total",
    "Shells destroyed without a pod",
    ["reason"],
    ({ discarded }) => Object.entries(discarded).map(([reason, count]) => [{ reason }, count]),
  );
}

function each(what: "hits" | "refills" | "failures" | "refillSeconds"): Look {
  return ({ kinds }) => kinds.map((kind) => [labelsOf(kind), kind[what]]);
}

function states({ kinds }: PoolMetrics): Sample[] {
  return kinds.flatMap((kind) =>
    (["wanted", "waiting", "making"] as const).map(
      (state): Sample => [{ ...labelsOf(kind), state }, kind[state]],
    ),
  );
}

function memory({ heldBytes, budgetBytes }: PoolMetrics): Sample[] {
  return [
    [{ what: "held" }, heldBytes],
    [{ what: "budget" }, budgetBytes],
  ];
}

function labelsOf({ flavor, level }: Kind): { flavor: string; level: string } {
  return { flavor, level };
}
