// SPDX-License-Identifier: Apache-2.0
import { median } from "./figure.ts";
import type { Steps } from "./steps.ts";

/** One part of a create: medians over the samples. */
export interface Part {
  readonly name: string;
  readonly milliseconds: number;
  readonly hypercalls: number;
  readonly bytesCopied: number;
}

/**
 * Where the time of like creates goes. A step in which the VMM worked is told by the VMM's own steps
 * and by what is left of it: the way there and back, and Node.
 */
export function breakdown(creates: readonly Steps[]): Part[] {
  const all = creates.map(flatten);
  const [first = []] = all;
  return first.map(({ name }, index) => {
    const same = all.map((parts) => {
      const part = parts[index];
      if (part?.name !== name)
        throw new Error(`creates of different steps: ${name}, ${part?.name}`);
      return part;
    });
    const middle = (of: (part: Part) => number) => median(same.map(of));
    return {
      name,
      milliseconds: middle(({ milliseconds }) => milliseconds),
      hypercalls: middle(({ hypercalls }) => hypercalls),
      bytesCopied: middle(({ bytesCopied }) => bytesCopied),
    };
  });
}

function flatten(steps: Steps): Part[] {
  const parts: Part[] = [];
  for (const [index, step] of steps.entries()) {
    const { bytesCopied, hypercalls, name, phase } = step;
    const part = { milliseconds: step.nanoseconds / 1e6, hypercalls, bytesCopied };
    if (phase !== "toolstack") {
      parts.push({ ...part, name });
      continue;
    }
    const rest = steps.slice(index + 1);
    const next = rest.findIndex((each) => each.phase === "toolstack");
    const inside = next === -1 ? rest : rest.slice(0, next);
    const within = inside.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0) / 1e6;
    const label = inside.length > 0 ? `${name}: Node and the way to the VMM` : name;
    parts.push({ ...part, name: label, milliseconds: part.milliseconds - within });
  }
  return parts;
}
