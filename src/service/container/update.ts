// SPDX-License-Identifier: Apache-2.0
import type { Container } from "../../pod/container.ts";
import type { ContainerResources } from "../../pod/container-record.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import { LightvmError } from "../../shared/errors.ts";
import type { NodeContext } from "../node-context.ts";
import { agentResources } from "./agent-resources.ts";
import { checkQuota } from "./cpu-limits.ts";

/**
 * UpdateContainerResources: new limits for a container that was created or runs; what is not said
 * stays. Throws "failed-precondition" for more memory or CPUs than the pod's VM has.
 */
export async function updateContainerResources(
  { pods }: NodeContext,
  request: { readonly id: string; readonly resources: ContainerResources },
  signal: AbortSignal,
): Promise<void> {
  const container = pods.getContainer(request.id);
  using _lock = await container.lock.acquire(`the update of container ${container.id}`, signal);
  if (container.state !== "created") container.require("running", "be updated");
  const sandbox = pods.sandboxOf(container);
  checkMemory(sandbox, request.resources);
  const { vm } = sandbox.metadata;
  checkQuota(request.resources, vm.vcpus, `container ${container.id}`);
  const resources = merged(container, request.resources);
  const value = { containerId: container.id, resources: agentResources(resources, vm) };
  await sandbox.requireVm().call({ $case: "updateResources", value }, { signal });
  container.update({ resources });
}

function checkMemory({ metadata }: Sandbox, { memoryLimitBytes }: ContainerResources): void {
  const { memoryBytes } = metadata.vm;
  if (memoryLimitBytes <= memoryBytes) return;
  throw new LightvmError(
    "failed-precondition",
    `a memory limit of ${memoryLimitBytes} bytes is more than the pod's VM has (${memoryBytes}); ` +
      "its VM does not grow: make the pod anew with the larger limit",
  );
}

function merged(container: Container, change: ContainerResources): ContainerResources {
  const old = container.resources;
  return {
    cpuShares: change.cpuShares || old.cpuShares,
    cpuQuotaMicroseconds: change.cpuQuotaMicroseconds || old.cpuQuotaMicroseconds,
    cpuPeriodMicroseconds: change.cpuPeriodMicroseconds || old.cpuPeriodMicroseconds,
    memoryLimitBytes: change.memoryLimitBytes || old.memoryLimitBytes,
    memorySwapLimitBytes: change.memorySwapLimitBytes || old.memorySwapLimitBytes,
    // The kernel gives it to a process when it starts.
    oomScoreAdjust: old.oomScoreAdjust,
    cpusetCpus: change.cpusetCpus || old.cpusetCpus,
    cpusetMems: change.cpusetMems || old.cpusetMems,
    hugepageLimits: { ...old.hugepageLimits, ...change.hugepageLimits },
    unified: { ...old.unified, ...change.unified },
  };
}
