// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { sharesOfTrace } from "./syscall-trace.ts";

/** One line of the trace, of thread 70 unless told. */
const line = (at: number, what: string, thread = 70) =>
  `              xl-${thread}      [000] .....   100.${String(at).padStart(6, "0")}: sys_${what}`;

const LIFE = [
  "# tracer: nop",
  line(0, "enter: NR 1 (1, 5581, 3, 0, 0, 0)"),
  line(1000, "exit: NR 59 = 0"),
  line(3000, "enter: NR 9 (0, 1000, 3, 22, ffffffff, 0)"),
  line(3500, "exit: NR 9 = 140"),
  line(3600, "enter: NR 16 (5, 305000, 7ffd1000, 0, 0, 0)"),
  line(4000, "enter: NR 7 (9, 1, ffffffff, 0, 0, 0)", 71),
  line(5600, "exit: NR 16 = 0"),
  line(5700, "enter: NR 16 (6, 205004, 7ffd1000, 0, 0, 0)"),
  line(5800, "exit: NR 16 = 0"),
  line(5900, "enter: NR 202 (7f, 80, 2, 0, 0, 0)"),
  line(9900, "exit: NR 202 = 0"),
  line(10000, "enter: NR 231 (0, 3c, e7, 0, 0, 0)"),
].join("\n");

describe("the trace of a process", () => {
  it("is divided into what it did with its time", () => {
    const shares = new Map(
      sharesOfTrace(LIFE).map(({ milliseconds, name }) => [name, milliseconds]),
    );
    expect(shares.get("hypercalls")).toBeCloseTo(2);
    expect(shares.get("mapping guest memory")).toBeCloseTo(0.1);
    expect(shares.get("memory of the process")).toBeCloseTo(0.5);
    expect(shares.get("XenStore and other reading, writing, waiting")).toBeCloseTo(4);
    const whole = [...shares.values()].reduce((sum, each) => sum + each, 0);
    expect(whole).toBeCloseTo(9);
  });

  it("must hold its whole life", () => {
    expect(() => sharesOfTrace(LIFE.replace("NR 231", "NR 230"))).toThrow(/from exec to exit/);
    expect(() => sharesOfTrace("# tracer: nop\n")).toThrow(/from exec to exit/);
  });
});
