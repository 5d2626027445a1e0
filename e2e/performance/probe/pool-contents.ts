// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";
import { flavorName, flavorOf } from "../../../src/toolstack/flavor.ts";
import type { PoolMetrics } from "../../../src/toolstack/pool/metrics.ts";
import type { ShellLevel } from "../../../src/toolstack/shell-record.ts";

/** lightvmd's default. */
const DEVICE_SLOTS = 32;

/** What a pool must hold for a sample; without a level, nothing. */
export interface WantedShell {
  readonly vm: Parameters<typeof flavorOf>[0];
  readonly level: ShellLevel | undefined;
}

/** One shell of this kind waits, or none, and nothing else waits, is being made or destroyed. */
function holdsOnly({ vm, level }: WantedShell, { kinds, leaving }: PoolMetrics): boolean {
  const wanted = level === undefined ? [] : [`${flavorName(flavorOf(vm, DEVICE_SLOTS))} ${level}`];
  const waiting = kinds.flatMap((kind) =>
    Array<string>(kind.waiting).fill(`${kind.flavor} ${kind.level}`),
  );
  const isStill = leaving === 0 && kinds.every(({ making }) => making === 0);
  return isStill && waiting.join() === wanted.join();
}

/** How long a pool may take to hold what is wanted; milliseconds. */
const FILLED_MS = 600_000;

/** Looks every `lookMs` milliseconds until a pool holds what is wanted and nothing else. */
export async function untilHoldsOnly(
  wanted: WantedShell,
  lookMs: number,
  look: () => Promise<PoolMetrics>,
): Promise<void> {
  const deadline = performance.now() + FILLED_MS;
  for (let pool = await look(); !holdsOnly(wanted, pool); pool = await look()) {
    if (performance.now() > deadline) {
      const level = wanted.level ?? "nothing";
      throw new Error(`the pool is to hold ${level} alone, and holds ${JSON.stringify(pool)}`);
    }
    await delay(lookMs);
  }
}
