// SPDX-License-Identifier: Apache-2.0
import type { NodeMetrics } from "../shared/metrics.ts";
import type { PodVm } from "../toolstack/pod-vm.ts";

/** What a create books the time under that a guest takes from the unpause. */
const STEPS = { linux: "boot", unikernel: "sign of life" } as const;

/** Tells Prometheus how long a guest took to boot, unless it had done so before, in the pool. */
export function observeBoot(
  metrics: NodeMetrics,
  guest: keyof typeof STEPS,
  { breakdown }: Pick<PodVm, "breakdown">,
): void {
  const boot = breakdown.find(({ name, phase }) => phase === "toolstack" && name === STEPS[guest]);
  if (boot !== undefined) metrics.boots.observe({ guest }, Number(boot.nanoseconds) / 1e9);
}
