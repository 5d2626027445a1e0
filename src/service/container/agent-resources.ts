// SPDX-License-Identifier: Apache-2.0
import type { Resources } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { ContainerResources } from "../../pod/container-record.ts";
import type { SandboxMetadata } from "../../pod/sandbox-record.ts";
import { guestCpuset } from "./cpu-limits.ts";

/** A container's limits as the agent wants them. Throws "failed-precondition" for CPUs that the VM has not. */
export function agentResources(
  resources: ContainerResources,
  { vcpus }: Pick<SandboxMetadata["vm"], "vcpus">,
): Resources {
  return {
    cpuShares: BigInt(resources.cpuShares),
    cpuQuotaMicroseconds: BigInt(resources.cpuQuotaMicroseconds),
    cpuPeriodMicroseconds: BigInt(resources.cpuPeriodMicroseconds),
    memoryLimitBytes: BigInt(resources.memoryLimitBytes),
    memorySwapLimitBytes: BigInt(resources.memorySwapLimitBytes),
    pidsLimit: 0n,
    cpusetCpus: guestCpuset(resources, vcpus),
    cpusetMems: resources.cpusetMems,
    oomScoreAdjust: BigInt(resources.oomScoreAdjust),
    hugepageLimits: Object.fromEntries(
      Object.entries(resources.hugepageLimits).map(([size, bytes]) => [size, BigInt(bytes)]),
    ),
    unified: { ...resources.unified },
  };
}
