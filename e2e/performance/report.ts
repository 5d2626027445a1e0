// SPDX-License-Identifier: Apache-2.0
import { type Figure, figure, median, toolstackMilliseconds } from "./figures.ts";
import type { Measurements } from "./measure.ts";
import { milliseconds } from "./ours.ts";
import type { Plot } from "./plots.ts";
import type { PodTimes } from "./probe/pod.ts";

const MIB = 2 ** 20;
/** Pods at each end of a crowd whose creation is compared: single ones vary. */
const ENDS = 10;

/** Run, create and start together. */
function threeCalls({ create, run, start }: PodTimes): number {
  return run + create + start;
}

/** The figures of bench.md that this run can tell. */
export function figures(seen: Measurements, daytimeBytes: number): Record<string, Figure> {
  return { ...creation(seen), ...calls(seen), ...density(seen, daytimeBytes) };
}

function creation({ coldNoop, levels, noop, pods, xl }: Measurements): Record<string, Figure> {
  const xlCreated = xl.map(({ create }) => create);
  const loaded = levels.find(({ level }) => level === "loaded")?.execute ?? [];
  return {
    P1: figure(
      noop.map(({ info }) => toolstackMilliseconds(info)),
      {
        unit: "vms",
        goal: 2.3,
        peer: { what: "xl create -p", samples: xlCreated },
        note: "noop from a prepared shell: toolstack call → first sign of life",
      },
    ),
    P2: figure(loaded, {
      unit: "vms",
      goal: 2,
      peer: { what: "xl create -p, which cannot be split", samples: xlCreated },
      note: "loaded shell taken → unpaused, Tinyx pod",
    }),
    P3: figure(coldNoop.map(createMilliseconds), {
      unit: "vms",
      goal: 8,
      peer: { what: "xl create -p", samples: xlCreated },
      note: "whole create of noop without a pool, until unpaused",
    }),
    P4: figure(
      pods.map((pod) => milliseconds(pod, ["the guest runs first", "boot"])),
      {
        unit: "vms",
        goal: 40,
        peer: {
          what: "xl unpause, same kernel, until init has powered off",
          samples: xl.map(({ boot }) => boot),
        },
        note: "unpaused → agent has said hello",
      },
    ),
  };
}

/** RunPodSandbox makes the shell of a unikernel, StartContainer boots it: the CRI calls' time. */
function createMilliseconds({ info, run, start }: PodTimes): number {
  const { breakdown } = JSON.parse(info["lightvm"] ?? "{}") as {
    breakdown: { phase: string; name: string; nanoseconds: number }[];
  };
  const alive = breakdown.find(({ name }) => name === "sign of life");
  return run + start - (alive?.nanoseconds ?? 0) / 1e6;
}

function calls({ busybox, containerd }: Measurements): Record<string, Figure> {
  const peerCalls = containerd.map(threeCalls);
  const peerExecs = containerd.flatMap(({ exec }) => exec);
  return {
    P5: figure(busybox.map(threeCalls), {
      unit: "vms",
      goal: median(peerCalls) / 2,
      peer: { what: "containerd + runc, the same three calls", samples: peerCalls },
      note: "RunPodSandbox + CreateContainer + StartContainer, booted shell",
    }),
    P11: figure(
      busybox.flatMap(({ exec }) => exec),
      {
        unit: "vms",
        goal: median(peerExecs),
        peer: { what: "containerd + runc, the same call", samples: peerExecs },
        note: "ExecSync of true in a running pod",
      },
    ),
  };
}

function density({ crowd, pods }: Measurements, daytimeBytes: number): Record<string, Figure> {
  const { created, idle, vmmBytes, xenBytes } = crowd;
  const ratio = median(created.slice(-ENDS)) / median(created.slice(0, ENDS));
  const busy = idle.vmms + idle.guests + idle.daemon;
  return {
    P6: figure([ratio], {
      unit: "×",
      goal: 1.05,
      note: `creation of the last of ${created.length} noop pods over the first, medians of ${ENDS}`,
    }),
    P7: figure([(xenBytes + vmmBytes) / created.length / MIB], {
      unit: "MiB",
      goal: 3.6,
      note: `Xen's memory and the VMM's own, for each of ${created.length} noop pods`,
    }),
    P8: figure(
      pods.map((pod) => (pod.xenBytes + pod.vmmPrivateBytes) / MIB),
      {
        unit: "MiB",
        goal: 24,
        note: "Xen's free memory lost to a Tinyx pod, and its VMM's private memory",
      },
    ),
    P10: figure([daytimeBytes / 1000], {
      unit: "kB",
      goal: 480,
      note: "daytime unikernel's image",
    }),
    P12: figure([(busy / idle.overMs) * 100], {
      unit: "% of a CPU",
      goal: 1,
      note: `guests, VMMs and lightvmd with ${created.length} idle noop pods`,
    }),
  };
}

/** The paper's figures, as plots. */
export function plots(seen: Measurements): Record<string, Plot> {
  const { containerdCrowd, crowd, forkExec, levels, xlCrowd } = seen;
  const along = (values: readonly number[]) =>
    values.map((value, index) => [index + 1, value] as const);
  const flat = (values: readonly number[]) => {
    const value = median(values);
    return [[1, value] as const, [crowd.created.length, value] as const];
  };
  return {
    creation: {
      title: "Creation time against the number of running guests",
      x: "running guests",
      y: "virtual milliseconds",
      logarithmic: true,
      series: [
        { name: "xl create (guest alone)", points: along(xlCrowd) },
        { name: "containerd + runc (3 CRI calls)", points: along(containerdCrowd) },
        { name: "LightVM, noop (3 CRI calls)", points: along(crowd.created) },
        ...levels.map(({ create, level }) => ({
          name: `LightVM, Tinyx, ${level} shell (VM alone)`,
          points: flat(create),
        })),
        { name: "fork + exec", points: flat(forkExec) },
      ],
    },
    removal: {
      title: "Removal time of noop pods",
      x: "pods removed so far",
      y: "virtual milliseconds",
      logarithmic: false,
      series: [{ name: "LightVM, noop (2 CRI calls)", points: along(crowd.removed) }],
    },
  };
}
