// SPDX-License-Identifier: Apache-2.0
import type { Stats } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { now } from "../../pod/persisted.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import type { DomainUsage } from "../../toolstack/hypervisor.ts";
import { type ContainerUsage, usages } from "../container/stats.ts";
import { guestStats } from "../guest-stats.ts";
import { hasLabels } from "../labels.ts";
import type { NodeContext } from "../node-context.ts";

/** What a pod uses: its VM seen from outside, and what its guest says. */
export interface PodUsage {
  readonly sandbox: Sandbox;
  /** When it was measured; nanoseconds since the epoch. */
  readonly at: bigint;
  /** Xen's account, which no guest can falsify. */
  readonly domain: DomainUsage;
  readonly guest: Stats;
  readonly containers: readonly ContainerUsage[];
  /** Nanoseconds of a core each second, by Xen's account; undefined at the first look. */
  readonly nanoCores: bigint | undefined;
}

/** Sandboxes that match everything that is set. */
export interface PodStatsFilter {
  /** Id or its beginning; "" = any. */
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
}

const NOTHING: DomainUsage = { cpuNanoseconds: 0n, memoryBytes: 0n };

/** PodSandboxStats. Throws "not-found", and "failed-precondition" when the pod has ended. */
export async function podSandboxStats(
  { pods, toolstack }: NodeContext,
  id: string,
  signal: AbortSignal,
): Promise<PodUsage> {
  const sandbox = pods.getSandbox(id);
  if (sandbox.unikernel === undefined) sandbox.requireVm();
  return await usageOf(sandbox, toolstack.domains(), signal);
}

/** ListPodSandboxStats: of the pods that live. One hypercall for all, one call to each guest. */
export async function listPodSandboxStats(
  { logger, pods, toolstack }: NodeContext,
  filter: PodStatsFilter,
  signal: AbortSignal,
): Promise<PodUsage[]> {
  const domains = toolstack.domains();
  const each = pods
    .sandboxes()
    .filter(
      ({ id, metadata, state }) =>
        state === "ready" &&
        id.startsWith(filter.id) &&
        hasLabels(metadata.config.labels, filter.labels),
    )
    .map(async (sandbox) => {
      if (!domains.has(sandbox.domid ?? -1)) return [];
      try {
        return [await usageOf(sandbox, domains, signal)];
      } catch (error) {
        if (signal.aborted) throw error;
        logger.warn({ error, pod: sandbox.id }, "a pod does not say what it uses");
        return [];
      }
    });
  return (await Promise.all(each)).flat();
}

async function usageOf(
  sandbox: Sandbox,
  domains: ReadonlyMap<number, DomainUsage>,
  signal: AbortSignal,
): Promise<PodUsage> {
  const domain = domains.get(sandbox.domid ?? -1) ?? NOTHING;
  const guest = await guestStats(sandbox, domains, signal);
  const at = now();
  const containers = [...sandbox.containers.values()].filter(({ state }) => state === "running");
  return {
    sandbox,
    at,
    domain,
    guest,
    containers: usages(containers, guest.containers),
    nanoCores: sandbox.cpuRate.observe(at, domain.cpuNanoseconds),
  };
}
