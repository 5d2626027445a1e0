// SPDX-License-Identifier: Apache-2.0

import type { Step } from "./ours.ts";

/** One measured promise, with its peer measured in the same run. */
export interface Figure {
  /** Median of the samples. */
  readonly value: number;
  readonly unit: string;
  readonly goal: number;
  readonly met: boolean;
  /** What the peer needed for the same, and what it did. */
  readonly peer?: { readonly what: string; readonly value: number; readonly samples: number[] };
  readonly samples: readonly number[];
  readonly note?: string;
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
  rest: { unit: string; goal: number; note?: string; peer?: { what: string; samples: number[] } },
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

/** Milliseconds of the toolstack's steps in a runtime's own words about a pod. */
export function toolstackMilliseconds(info: Readonly<Record<string, string>>): number {
  const { breakdown } = JSON.parse(info["lightvm"] ?? "{}") as { breakdown?: Step[] };
  const own = (breakdown ?? []).filter(({ phase }) => phase === "toolstack");
  if (own.length === 0) throw new Error("the runtime does not say where its time went");
  return own.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0) / 1e6;
}

/** One table of all figures, for a terminal. */
export function table(figures: Readonly<Record<string, Figure>>): string {
  const round = (value: number) => (value < 100 ? value.toFixed(2) : value.toFixed(0));
  const rows = Object.entries(figures).map(([name, { value, unit, goal, met, peer }]) => [
    name,
    `${round(value)} ${unit}`,
    `≤ ${goal}`,
    met ? "met" : "missed",
    peer ? `${round(peer.value)} ${unit}: ${peer.what}` : "",
  ]);
  const all = [["", "ours", "goal", "", "peer, same run"], ...rows];
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...all.map((row) => (row[column] ?? "").length)),
  );
  return all
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
