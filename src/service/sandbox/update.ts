// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../shared/errors.ts";
import { type CpuQuota, checkQuota } from "../container/cpu-limits.ts";
import type { NodeContext } from "../node-context.ts";

/** What a pod may use from now on; 0 = not said. */
export interface PodResources extends CpuQuota {
  readonly memoryLimitBytes: number;
  readonly cpuShares: number;
}

/**
 * UpdatePodSandboxResources. The VM is the pod's limit and does not change, but what it gets of CPUs
 * that are short does; within it the containers have limits of their own, which
 * UpdateContainerResources changes. Throws "failed-precondition" for a
 * limit that the VM cannot hold.
 */
export function updatePodSandboxResources(
  { pods }: NodeContext,
  id: string,
  resources: PodResources,
): void {
  const sandbox = pods.getSandbox(id);
  const vm = sandbox.requireVm();
  const { memoryBytes, vcpus } = sandbox.metadata.vm;
  checkQuota(resources, vcpus, `pod ${sandbox.id}`);
  const { cpuShares, memoryLimitBytes } = resources;
  if (memoryLimitBytes > memoryBytes) {
    throw new LightvmError(
      "failed-precondition",
      `pod ${sandbox.id} cannot have ${memoryLimitBytes} bytes: its VM has ${memoryBytes} and does not grow`,
    );
  }
  if (cpuShares > 0) vm.setCpuShares(cpuShares);
}
