// SPDX-License-Identifier: Apache-2.0
//
// The figures of the LightVM paper (SOSP 2017), with ours and the peers of one run.

import type { Measurements } from "../measurements.ts";
import type { LevelSample, Mark } from "../probe/toolstack/main.ts";
import { breakdown } from "./breakdown.ts";
import { median } from "./figure.ts";
import { alone } from "./goals.ts";
import type { BarPlot, LinePlot, Plot, Series } from "./plots.ts";
import { type Steps, untilAnswer, untilUnpaused, wholeCall } from "./steps.ts";

const MIB = 2 ** 20;
const GUESTS = "running guests";
const VMS = "virtual milliseconds";

/** What each level is called in a legend. */
const LEVELS: Readonly<Record<LevelSample["level"], string>> = {
  none: "no pool",
  prepared: "prepared shell",
  loaded: "loaded shell",
  booted: "booted shell",
};

/** Plots by the names of their files. */
export function paperPlots(seen: Measurements): Record<string, Plot> {
  return {
    creation: creation(seen),
    boot: boot(seen),
    "steps-lightvm": steps(seen),
    "steps-xl": xlSteps(seen),
    memory: memory(seen),
    idle: idle(seen),
  };
}

function along(values: readonly number[]): Series["points"] {
  return values.map((value, index) => [index + 1, value] as const);
}

/** What was measured at each mark. */
function atMarks(
  { toolstack }: Measurements,
  kind: LevelSample["kind"],
  level: LevelSample["level"],
  of: (steps: Steps) => number,
): Series["points"] {
  return toolstack.marks.flatMap(({ guests, levels }) =>
    levels
      .filter((each) => each.kind === kind && each.level === level)
      .map(({ creates }) => [guests, median(creates.map(of))] as const),
  );
}

function creation(seen: Measurements): LinePlot {
  const { containerd, forkExec, toolstack, xl } = seen;
  const floor = median(forkExec);
  const levels = ["none", "prepared", "loaded", "booted"] as const;
  return {
    kind: "lines",
    title: "Creation time (call → guest may run) against the number of running guests",
    x: GUESTS,
    y: VMS,
    logarithmic: true,
    series: [
      { name: "containerd + runc, 3 CRI calls", points: along(containerd.crowd.created) },
      { name: "xl create, noop", points: along(xl.crowd) },
      ...levels.map((level) => ({
        name: `LightVM, Tinyx, ${LEVELS[level]}`,
        points: atMarks(seen, "tinyx", level, untilUnpaused),
      })),
      ...(["none", "prepared"] as const).map((level) => ({
        name: `LightVM, noop, ${LEVELS[level]}`,
        points: atMarks(seen, "noop", level, untilUnpaused),
      })),
      {
        name: "fork + exec",
        points: [
          [0, floor],
          [toolstack.crowd.length, floor],
        ],
      },
    ],
  };
}

function boot(seen: Measurements): LinePlot {
  const { tinyx, besideCrowd, crowd } = seen.xl;
  return {
    kind: "lines",
    title: "Boot time (guest may run → it answers) against the number of running guests",
    x: GUESTS,
    y: VMS,
    logarithmic: true,
    series: [
      {
        name: "xl, same Linux, until its init has powered off",
        points: [
          [0, median(tinyx.map((each) => each.boot))],
          [crowd.length, besideCrowd.boot],
        ],
      },
      { name: "LightVM, Tinyx", points: atMarks(seen, "tinyx", "none", untilAnswer) },
      { name: "LightVM, noop", points: atMarks(seen, "noop", "none", untilAnswer) },
    ],
  };
}

function steps(seen: Measurements): BarPlot {
  const cases = [
    ["tinyx", "none"],
    ["tinyx", "prepared"],
    ["tinyx", "loaded"],
    ["tinyx", "booted"],
    ["noop", "none"],
    ["noop", "prepared"],
  ] as const;
  return {
    kind: "bars",
    title: "Where the time of a create goes, LightVM",
    x: VMS,
    bars: cases.map(([kind, level]) => ({
      name: `${kind === "tinyx" ? "Tinyx" : kind}, ${LEVELS[level]}`,
      parts: breakdown(alone(seen, kind, level)).map(({ name, milliseconds }) => ({
        name,
        value: milliseconds,
      })),
    })),
  };
}

function xlSteps({ pods, xl }: Measurements): BarPlot {
  const cold = median(pods.cold.flatMap(({ steps: all }) => all.map(wholeCall)));
  return {
    kind: "bars",
    title: "Where the time of xl create goes, the same Tinyx guest",
    x: VMS,
    bars: [
      {
        name: "xl create -p",
        parts: xl.shares.map(({ name, milliseconds }) => ({ name, value: milliseconds })),
      },
      { name: "LightVM, no pool, boot included", parts: [{ name: "all of it", value: cold }] },
    ],
  };
}

function memory({ containerd, pods, toolstack, xl }: Measurements): LinePlot {
  const [first] = toolstack.marks;
  if (first === undefined) throw new Error("nothing was measured without guests");
  const since = (of: (mark: Mark) => number): Series["points"] =>
    toolstack.marks.map((mark) => [mark.guests, of(mark) / MIB] as const);
  const total = toolstack.crowd.length;
  const straight = (bytes: number, count: number): Series["points"] => [
    [0, 0],
    [count, (bytes * count) / MIB],
  ];
  const tinyx = median(
    pods.memory.map(({ vmmPrivateBytes, xenBytes }) => vmmPrivateBytes + xenBytes),
  );
  const xlBytes = (xl.crowdBytes.xen + xl.crowdBytes.dom0) / xl.crowd.length;
  const { created, dom0Bytes } = containerd.crowd;
  return {
    kind: "lines",
    title: "Host memory against the number of guests",
    x: GUESTS,
    y: "MiB",
    logarithmic: false,
    series: [
      { name: "Tinyx with busybox (one, times n)", points: straight(tinyx, total) },
      {
        name: "containerd + runc, busybox",
        points: straight(dom0Bytes / created.length, created.length),
      },
      { name: "xl, noop of 4 MiB", points: straight(xlBytes, xl.crowd.length) },
      {
        name: "noop: Xen's, VMMs' and dom0's kernel's",
        points: since(
          ({ memory: { dom0Available, xenFree } }) =>
            first.memory.xenFree - xenFree + first.memory.dom0Available - dom0Available,
        ),
      },
      {
        name: "noop: Xen's and VMMs' own",
        points: since(
          ({ memory: { vmmPrivate, xenFree } }) => first.memory.xenFree - xenFree + vmmPrivate,
        ),
      },
    ],
  };
}

function idle({ toolstack }: Measurements): LinePlot {
  const [first] = toolstack.marks;
  const idleShare = (of: "guests" | "vmms" | "dom0"): Series["points"] =>
    toolstack.marks.map(({ guests, idle: seen }) => {
      const before = of === "dom0" ? (first?.idle.dom0 ?? 0) / (first?.idle.overMs ?? 1) : 0;
      return [guests, (seen[of] / seen.overMs - before) * 100] as const;
    });
  return {
    kind: "lines",
    title: "Processor time of idle noop guests",
    x: GUESTS,
    y: "% of one CPU",
    logarithmic: false,
    series: [
      { name: "all of dom0, beyond what it needs without guests", points: idleShare("dom0") },
      { name: "VMMs", points: idleShare("vmms") },
      { name: "guests", points: idleShare("guests") },
    ],
  };
}
