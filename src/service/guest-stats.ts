// SPDX-License-Identifier: Apache-2.0
import { ContainerStats, Stats } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { Sandbox } from "../pod/sandbox.ts";
import { LightvmError } from "../shared/errors.ts";
import type { DomainUsage } from "../toolstack/hypervisor.ts";

/** A guest that does not answer must not keep the figures of all others. */
const TIMEOUT_MS = 5000;

/**
 * What a guest counts of itself and of its containers. Its word, and believed for it alone. A unikernel
 * counts nothing: its one container uses what Xen says of the domain.
 */
export async function guestStats(
  sandbox: Sandbox,
  domains: ReadonlyMap<number, DomainUsage>,
  signal: AbortSignal,
): Promise<Stats> {
  if (sandbox.unikernel !== undefined) return unikernelStats(sandbox, domains);
  const call = { $case: "getStats", value: { containerId: "" } } as const;
  const reply = await sandbox.requireVm().call(call, { signal, timeoutMs: TIMEOUT_MS });
  if (reply.$case !== "stats") {
    throw new LightvmError("internal", `the agent answered getStats with ${reply.$case}`);
  }
  return reply.value;
}

function unikernelStats(sandbox: Sandbox, domains: ReadonlyMap<number, DomainUsage>): Stats {
  const domain = domains.get(sandbox.domid ?? -1);
  const memory = domain?.memoryBytes ?? 0n;
  const running = [...sandbox.containers.values()].filter(({ state }) => state === "running");
  return Stats.fromPartial({
    containers: running.map(({ id }) =>
      ContainerStats.fromPartial({
        containerId: id,
        cpuNanoseconds: domain?.cpuNanoseconds ?? 0n,
        memoryUsageBytes: memory,
        memoryWorkingSetBytes: memory,
        memoryRssBytes: memory,
        memoryLimitBytes: memory,
      }),
    ),
    guestMemoryTotalBytes: memory,
    guestCpuNanoseconds: domain?.cpuNanoseconds ?? 0n,
  });
}
