// SPDX-License-Identifier: Apache-2.0

/** One step of a create, as `crictl inspectp` shows it. */
export interface Step {
  /** The toolstack's own steps follow each other; the VMM's are parts of the one before them. */
  readonly phase: "prepare" | "execute" | "toolstack";
  readonly name: string;
  readonly nanoseconds: number;
  readonly hypercalls: number;
  readonly bytesCopied: number;
}

/** All steps of one create, in order. */
export type Steps = readonly Step[];

/** The one after which the guest runs. */
const UNPAUSE = "unpause";

/** The steps that a runtime tells of a pod in its verbose status. */
export function stepsOfPod(info: Readonly<Record<string, string>>): Steps {
  const { breakdown } = JSON.parse(info["lightvm"] ?? "{}") as { breakdown?: Steps };
  if (breakdown === undefined || breakdown.length === 0) {
    throw new Error("the runtime does not say where its time went");
  }
  return breakdown;
}

/** Milliseconds that a pod's network took, by the same status: its namespace and each plugin. */
export function networkOfPod(info: Readonly<Record<string, string>>): number {
  const { network } = JSON.parse(info["lightvm"] ?? "{}") as {
    network?: readonly { readonly nanoseconds: number }[];
  };
  if (network === undefined || network.length === 0) {
    throw new Error("the runtime does not say how long the network took");
  }
  return network.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0) / 1e6;
}

/** Milliseconds from the beginning of the toolstack's call until the guest may run. */
export function untilUnpaused(steps: Steps): number {
  const own = toolstackSteps(steps);
  return milliseconds(own.slice(0, unpauseIndex(own) + 1));
}

/** Milliseconds from there until the guest has answered; what lightvmd saw of it, so all of it. */
export function untilAnswer(steps: Steps): number {
  const own = toolstackSteps(steps);
  return milliseconds(own.slice(unpauseIndex(own) + 1));
}

/** Milliseconds of the whole call. */
export function wholeCall(steps: Steps): number {
  return milliseconds(toolstackSteps(steps));
}

/** Requests made of Xen by the VMM, and bytes that it wrote into the guest. */
export function effort(steps: Steps): { hypercalls: number; bytesCopied: number } {
  return {
    hypercalls: steps.reduce((sum, step) => sum + step.hypercalls, 0),
    bytesCopied: steps.reduce((sum, step) => sum + step.bytesCopied, 0),
  };
}

/** Throws unless the create began by taking a shell: a miss measures something else. */
export function requireTaken(steps: Steps, level: string): Steps {
  const [first] = steps;
  if (first?.name === `take a ${level} shell`) return steps;
  throw new Error(`no ${level} shell was taken, but: ${first?.name}`);
}

function toolstackSteps(steps: Steps): Steps {
  return steps.filter(({ phase }) => phase === "toolstack");
}

function unpauseIndex(own: Steps): number {
  const index = own.findIndex(({ name }) => name === UNPAUSE);
  if (index === -1) throw new Error(`a create without "${UNPAUSE}"`);
  return index;
}

function milliseconds(steps: Steps): number {
  return steps.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0) / 1e6;
}
