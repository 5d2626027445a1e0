// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { breakdown } from "./breakdown.ts";
import {
  effort,
  networkOfPod,
  requireTaken,
  type Step,
  untilAnswer,
  untilUnpaused,
  wholeCall,
} from "./steps.ts";

function step(phase: Step["phase"], name: string, milliseconds: number, hypercalls = 0): Step {
  return { phase, name, nanoseconds: milliseconds * 1e6, hypercalls, bytesCopied: hypercalls * 8 };
}

const CREATE = [
  step("toolstack", "take a prepared shell", 1),
  step("toolstack", "execute", 4),
  step("execute", "copy kernel", 2, 3),
  step("execute", "plug devices", 1, 1),
  step("toolstack", "unpause", 0.5),
  step("toolstack", "the guest runs first", 6),
  step("toolstack", "boot", 7),
];

describe("the steps of a create", () => {
  it("are what comes before the guest runs, and what comes after", () => {
    expect(untilUnpaused(CREATE)).toBe(5.5);
    expect(untilAnswer(CREATE)).toBe(13);
    expect(wholeCall(CREATE)).toBe(18.5);
    expect(effort(CREATE)).toEqual({ hypercalls: 4, bytesCopied: 32 });
  });

  it("stand apart from those of the network", () => {
    const network = [{ nanoseconds: 1_000_000 }, { nanoseconds: 500_000 }];
    expect(networkOfPod({ lightvm: JSON.stringify({ network }) })).toBe(1.5);
    expect(() => networkOfPod({ lightvm: "{}" })).toThrow("does not say how long");
  });

  it("say which shell was taken", () => {
    expect(requireTaken(CREATE, "prepared")).toBe(CREATE);
    expect(() => requireTaken(CREATE, "booted")).toThrow("no booted shell was taken");
    expect(() => requireTaken([], "booted")).toThrow("no booted shell was taken");
    expect(() => untilUnpaused([])).toThrow(/without "unpause"/);
  });

  it("are broken down without counting the VMM's part twice", () => {
    const parts = breakdown([CREATE, CREATE]);
    expect(parts.map(({ milliseconds }) => milliseconds)).toEqual([1, 1, 2, 1, 0.5, 6, 7]);
    expect(parts[1]?.name).toBe("execute: Node and the way to the VMM");
    expect(() => breakdown([CREATE, CREATE.toReversed()])).toThrow(/different steps/);
  });
});
