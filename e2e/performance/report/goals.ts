// SPDX-License-Identifier: Apache-2.0

import type { Measurements } from "../measurements.ts";
import { threeCalls } from "../probe/pod.ts";
import type { LevelSample } from "../probe/toolstack/main.ts";
import { type Figure, figure, median } from "./figure.ts";
import { effort, type Steps, untilAnswer, untilUnpaused, wholeCall } from "./steps.ts";

const MIB = 2 ** 20;
/** Pods at each end of a crowd whose creation is compared: single ones vary. */
const ENDS = 10;
/** P12 asks for so many. */
const MANY = 1000;

type Figures = Readonly<Record<string, Figure>>;
type Seen = Partial<Measurements>;

/** The figures that this run can tell: of those parts that were measured. */
export function figures(seen: Seen, daytimeBytes: number): Figures {
  return {
    ...creation(seen),
    ...calls(seen),
    ...density(seen),
    P10: figure([daytimeBytes / 1000], {
      unit: "kB",
      goal: 480,
      note: "daytime unikernel's image",
    }),
    ...idle(seen),
    ...lists(seen),
  };
}

/** Creates of one kind and level on a machine without other guests. */
export function alone(
  { toolstack }: Pick<Measurements, "toolstack">,
  kind: LevelSample["kind"],
  level: LevelSample["level"],
): readonly Steps[] {
  const [first] = toolstack.marks;
  const sample = first?.levels.find((each) => each.kind === kind && each.level === level);
  if (sample === undefined) throw new Error(`no ${kind} guests from ${level} shells`);
  return sample.creates;
}

function creation({ pods, toolstack, xl }: Seen): Figures {
  const xlTinyx = xl && { what: "xl create -p", samples: xl.tinyx.map(({ create }) => create) };
  const xlNoop = xl && {
    what: "xl create -p of noop",
    samples: xl.crowd.slice(0, xl.tinyx.length),
  };
  const peer = <T>(of: T | undefined) => (of === undefined ? {} : { peer: of });
  const inPod =
    pods &&
    figure(
      pods.noop.flatMap(({ steps }) => steps.map(wholeCall)),
      {
        unit: "vms",
        goal: 2.3,
        ...peer(xlNoop),
        note: "the same in lightvmd, where a network namespace waits for the pod",
      },
    );
  if (toolstack === undefined) return inPod === undefined ? {} : { "P1 pod": inPod };
  const noopTaken = alone({ toolstack }, "noop", "prepared");
  const tinyx = (level: LevelSample["level"]) => alone({ toolstack }, "tinyx", level);
  const boots = (["none", "prepared", "loaded"] as const).flatMap((level) => tinyx(level));
  return {
    P1: figure(noopTaken.map(wholeCall), {
      unit: "vms",
      goal: 2.3,
      ...peer(xlNoop),
      note: "noop, prepared shell: the toolstack's call (shell taken, files handed over, executed, unpaused) → first sign of life",
    }),
    ...(inPod && { "P1 pod": inPod }),
    P2: figure(tinyx("loaded").map(untilUnpaused), {
      unit: "vms",
      goal: 2,
      ...peer(xlTinyx),
      note: "Tinyx, loaded shell: taken → unpaused",
    }),
    P3: figure(alone({ toolstack }, "noop", "none").map(untilUnpaused), {
      unit: "vms",
      goal: 8,
      ...peer(xlNoop),
      note: "noop without a pool: the whole create, until unpaused",
    }),
    P4: figure(boots.map(untilAnswer), {
      unit: "vms",
      goal: 40,
      ...peer(
        xl && {
          what: "xl unpause, same kernel, until init has powered off",
          samples: xl.tinyx.map(({ boot }) => boot),
        },
      ),
      note: "Tinyx: unpaused → agent has said hello",
    }),
  };
}

function calls({ containerd, pods }: Seen): Figures {
  if (containerd === undefined || pods === undefined) return {};
  const peerCalls = containerd.pods.map(threeCalls);
  const what = "containerd + runc, the same three calls and network";
  const { runcExec } = containerd;
  return {
    P5: figure(pods.booted.map(threeCalls), {
      unit: "vms",
      goal: median(peerCalls) / 2,
      peer: { what, samples: peerCalls },
      note: "RunPodSandbox + CreateContainer + StartContainer, CNI bridge and portmap included, booted shell",
    }),
    "P5 network": figure(
      pods.booted.flatMap(({ network }) => network),
      {
        unit: "vms",
        goal: median(peerCalls) / 2,
        note: "of that, the network namespace and the plugins bridge and portmap, which nobody can make faster here",
      },
    ),
    "P5 cold": figure(pods.cold.map(threeCalls), {
      unit: "vms",
      goal: median(peerCalls) / 2,
      peer: { what, samples: peerCalls },
      note: "the same without a pool",
    }),
    P11: figure(
      pods.booted.flatMap(({ exec }) => exec),
      {
        unit: "vms",
        goal: median(runcExec),
        peer: { what: "runc exec alone", samples: [...runcExec] },
        note: `ExecSync of true in a running pod; containerd's ExecSync takes ${median(containerd.pods.flatMap(({ exec }) => exec)).toFixed(0)} vms`,
      },
    ),
  };
}

function density({ containerd, crowd, pods, toolstack, xl }: Seen): Figures {
  const ratio = (creates: readonly number[]) =>
    median(creates.slice(-ENDS)) / median(creates.slice(0, ENDS));
  const xlRatio = xl && {
    what: `xl create, ${xl.crowd.length} guests`,
    samples: [ratio(xl.crowd)],
  };
  const ends = `last of ${crowd?.created.length} noop pods over the first, medians of ${ENDS}`;
  const xlMemory = xl && (xl.crowdBytes.xen + xl.crowdBytes.dom0) / xl.crowd.length / MIB;
  const peerBytes = containerd && containerd.crowd.dom0Bytes / containerd.crowd.created.length;
  return {
    ...(crowd && {
      P6: figure([ratio(crowd.steps.map(wholeCall))], {
        unit: "×",
        goal: 1.05,
        ...(xlRatio && { peer: xlRatio }),
        note: `the toolstack's part of a pod's creation, ${ends}`,
      }),
      "P6 calls": figure([ratio(crowd.created)], {
        unit: "×",
        goal: 1.05,
        ...(containerd && {
          peer: {
            what: `containerd + runc, ${containerd.crowd.created.length} pods`,
            samples: [ratio(containerd.crowd.created)],
          },
        }),
        note: `the three CRI calls, ${ends}`,
      }),
      P7: figure([(crowd.xenBytes + crowd.helperBytes) / crowd.created.length / MIB], {
        unit: "MiB",
        goal: 3.6e6 / MIB,
        ...(xlMemory !== undefined && {
          peer: { what: "xl, noop of 4 MiB, Xen's and dom0's", samples: [xlMemory] },
        }),
        note: `Xen's memory and the VMM's own, for each of ${crowd.created.length} noop pods`,
      }),
    }),
    ...(toolstack && { "P6 work": work(toolstack.crowd) }),
    ...(pods && {
      P8: figure(
        pods.memory.map((pod) => (pod.xenBytes + pod.vmmPrivateBytes) / MIB),
        {
          unit: "MiB",
          goal: 24e6 / MIB,
          ...(peerBytes !== undefined && {
            peer: { what: "containerd + runc, dom0's memory a pod", samples: [peerBytes / MIB] },
          }),
          note: "Xen's memory lost to a Tinyx pod that runs busybox, and its VMM's private memory",
        },
      ),
    }),
  };
}

/** Hypercalls and bytes of the last create over those of the first: exactly 1 if nothing depends on n. */
function work(creates: readonly Steps[]): Figure {
  const [first, last] = [creates.at(0) ?? [], creates.at(-1) ?? []].map(effort);
  const quotient = (name: "hypercalls" | "bytesCopied") =>
    (last?.[name] ?? 0) / (first?.[name] ?? 0);
  return figure([Math.max(quotient("hypercalls"), quotient("bytesCopied"))], {
    unit: "×",
    goal: 1,
    note: `hypercalls and bytes written by create ${creates.length} (${last?.hypercalls}, ${last?.bytesCopied}) over create 1 (${first?.hypercalls}, ${first?.bytesCopied})`,
  });
}

/** With and without a crowd; a straight line leads to the number that is asked for. */
function idle({ containerd, crowd }: Seen): Figures {
  if (crowd === undefined) return {};
  const busy = ({ daemon, helpers, overMs, pods }: typeof crowd.idle) =>
    ((daemon + helpers + pods) / overMs) * 100;
  const many = ({
    created,
    idle: full,
    idleBefore,
  }: Pick<typeof crowd, "created" | "idle" | "idleBefore">) =>
    busy(idleBefore) + ((busy(full) - busy(idleBefore)) * MANY) / created.length;
  const [none, all] = [crowd.idleBefore, crowd.idle].map((each) => busy(each).toFixed(2));
  return {
    P12: figure([many(crowd)], {
      unit: "% of a CPU",
      goal: 1,
      ...(containerd && {
        peer: { what: "containerd + runc, busybox that sleeps", samples: [many(containerd.crowd)] },
      }),
      note: `guests, VMMs and lightvmd with ${MANY} idle noop pods, on a line through what was measured: ${none} % with none and ${all} % with ${crowd.created.length}`,
    }),
  };
}

/** ListPodSandbox and the like must stay quick with many pods. */
function lists({ containerd, crowd }: Seen): Figures {
  if (crowd === undefined) return {};
  const names = {
    pods: "ListPodSandbox",
    containers: "ListContainers",
    stats: "ListPodSandboxStats",
  };
  const count = crowd.created.length;
  return Object.fromEntries(
    (["pods", "containers", "stats"] as const).map((each) => [
      names[each],
      figure(crowd.lists[each], {
        unit: "vms",
        goal: 200,
        ...(containerd && {
          peer: {
            what: `containerd, ${containerd.crowd.created.length} pods`,
            samples: containerd.crowd.lists[each],
          },
        }),
        note: `with ${count} noop pods, client in the same CPU; the first of these calls took ${Math.round(crowd.lists[each][0] ?? 0)} vms`,
      }),
    ]),
  );
}
