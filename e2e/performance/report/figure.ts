// SPDX-License-Identifier: Apache-2.0
import { columns } from "../../../src/shared/columns.ts";

/** One measured promise, with its peer measured in the same run. */
export interface Figure {
  /** Median of the samples. */
  readonly value: number;
  readonly unit: string;
  readonly goal: number;
  readonly met: boolean;
  /** What the peer needed for the same, and what it did. */
  readonly peer?: {
    readonly what: string;
    readonly value: number;
    readonly samples: readonly number[];
  };
  readonly samples: readonly number[];
  /** What was measured, exactly. */
  readonly note: string;
}

/** The middle of an odd number of samples, the lower middle of an even one. */
export function median(samples: readonly number[]): number {
  const sorted = [...samples].sort((a, b) => a - b);
  const middle = sorted[Math.floor((sorted.length - 1) / 2)];
  if (middle === undefined) throw new Error("no samples");
  return middle;
}

/** A figure of which less is better. */
export function figure(
  samples: readonly number[],
  rest: {
    unit: string;
    goal: number;
    note: string;
    peer?: Pick<NonNullable<Figure["peer"]>, "what" | "samples">;
  },
): Figure {
  const value = median(samples);
  const { peer, ...others } = rest;
  return {
    value,
    ...others,
    met: value <= rest.goal,
    ...(peer && { peer: { ...peer, value: median(peer.samples) } }),
    samples,
  };
}

/** One table of all figures, for a terminal. */
export function table(figures: Readonly<Record<string, Figure>>): string {
  const rows = Object.entries(figures).map(([name, { value, unit, goal, met, peer }]) => [
    name,
    `${rounded(value)} ${unit}`,
    `≤ ${rounded(goal)}`,
    met ? "met" : "missed",
    peer ? `${rounded(peer.value)} ${unit}: ${peer.what}` : "",
  ]);
  return columns([["", "ours", "goal", "", "peer, same run"], ...rows]);
}

/** A number as people read it. */
export function rounded(value: number): string {
  return value < 100 ? value.toFixed(2) : value.toFixed(0);
}
