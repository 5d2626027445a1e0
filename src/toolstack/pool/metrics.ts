// SPDX-License-Identifier: Apache-2.0
import type { ShellLevel } from "../shell-record.ts";

/** Why shells were destroyed that had waited for a pod. */
export type DiscardReason =
  /** More than wanted, or of a flavor or level that is not wanted any more. */
  | "surplus"
  /** Made from files that have been replaced since. */
  | "stale"
  /** A pod needed the memory. */
  | "memory"
  /** Its guest or its VMM ended while it waited. */
  | "died"
  /** A pod took it, and it did not come up. */
  | "failed";

/** What keeps a pool from being refilled, and how people are told. */
export const HELD_BACK = {
  memory: "Xen has no memory left for it",
  budget: "the pool's memory budget is used up",
  failures: "the last attempt failed",
} as const;

export type HeldBack = (typeof HELD_BACK)[keyof typeof HELD_BACK];

/** The shells of one flavor at one level. */
export interface KindMetrics {
  readonly flavor: string;
  readonly level: ShellLevel;
  /** How many shall wait, how many do, and how many are being made. */
  readonly wanted: number;
  readonly waiting: number;
  readonly making: number;
  /** Counted since lightvmd started: pods that got one, */
  readonly hits: number;
  /** shells that were made, attempts that failed, and what the former took together. */
  readonly refills: number;
  readonly failures: number;
  readonly refillSeconds: number;
}

/** The pool at one moment; for metrics and for people. Counters count since lightvmd started. */
export interface PoolMetrics {
  readonly budgetBytes: number;
  /** Xen memory of all shells that wait or are being made. */
  readonly heldBytes: number;
  readonly kinds: readonly KindMetrics[];
  /** Flavor → pods that found no shell. */
  readonly misses: Readonly<Record<string, number>>;
  readonly discarded: Readonly<Record<DiscardReason, number>>;
  /** Shells that are being destroyed. */
  readonly leaving: number;
  /** Why the pool is not refilled further at the moment; "" when nothing keeps it. */
  readonly heldBack: HeldBack | "";
}

/** Counters of one kind of shell. */
interface Counts {
  hits: number;
  refills: number;
  failures: number;
  refillSeconds: number;
}

/** What has happened in a pool. */
export class PoolCounters {
  readonly misses: Record<string, number> = {};
  readonly discarded: Record<DiscardReason, number> = {
    surplus: 0,
    stale: 0,
    memory: 0,
    died: 0,
    failed: 0,
  };
  readonly #kinds = new Map<string, Counts>();

  /** The counters of one kind (plan.ts). */
  of(kind: string): Counts {
    let counts = this.#kinds.get(kind);
    if (counts === undefined) {
      counts = { hits: 0, refills: 0, failures: 0, refillSeconds: 0 };
      this.#kinds.set(kind, counts);
    }
    return counts;
  }

  missed(flavor: string): void {
    this.misses[flavor] = (this.misses[flavor] ?? 0) + 1;
  }
}
