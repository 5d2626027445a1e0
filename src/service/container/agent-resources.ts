// SPDX-License-Identifier: Apache-2.0
import type { Resources } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { ContainerResources } from "../../pod/container-record.ts";

/** A container's limits as the agent wants them. */
export function agentResources(resources: ContainerResources): Resources {
  return {
    cpuShares: BigInt(resources.cpuShares),
    cpuQuotaMicroseconds: BigInt(resources.cpuQuotaMicroseconds),
    cpuPeriodMicroseconds: BigInt(resources.cpuPeriodMicroseconds),
    memoryLimitBytes: BigInt(resources.memoryLimitBytes),
    memorySwapLimitBytes: BigInt(resources.memorySwapLimitBytes),
    pidsLimit: 0n,
    cpusetCpus: resources.cpusetCpus,
    cpusetMems: resources.cpusetMems,
    oomScoreAdjust: BigInt(resources.oomScoreAdjust),
    hugepageLimits: Object.fromEntries(
      Object.entries(resources.hugepageLimits).map(([size, bytes]) => [size, BigInt(bytes)]),
    ),
    unified: { ...resources.unified },
  };
}
