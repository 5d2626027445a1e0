// SPDX-License-Identifier: Apache-2.0
import type { ContainerStats as GuestAccount } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { Container } from "../../pod/container.ts";
import { now } from "../../pod/persisted.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import { LightvmError } from "../../shared/errors.ts";
import { guestStats } from "../guest-stats.ts";
import { hasLabels } from "../labels.ts";
import type { NodeContext } from "../node-context.ts";

/** What a container uses, as its guest counts. */
export interface ContainerUsage {
  readonly container: Container;
  /** When it was measured; nanoseconds since the epoch. */
  readonly at: bigint;
  readonly account: GuestAccount;
  /** Nanoseconds of a core each second; undefined at the first look. */
  readonly nanoCores: bigint | undefined;
}

/** Containers that match everything that is set. */
export interface ContainerStatsFilter {
  /** Ids or their beginnings; "" = any. */
  readonly id: string;
  readonly sandboxId: string;
  readonly labels: Readonly<Record<string, string>>;
}

/** ContainerStats. Throws "not-found", and "failed-precondition" when its pod has ended. */
export async function containerStats(
  { pods, toolstack }: NodeContext,
  id: string,
  signal: AbortSignal,
): Promise<ContainerUsage> {
  const container = pods.getContainer(id);
  const stats = await guestStats(pods.sandboxOf(container), toolstack.domains(), signal);
  const [usage] = usages([container], stats.containers);
  if (usage === undefined) {
    throw new LightvmError("not-found", `the guest of container ${container.id} has none of it`);
  }
  return usage;
}

/** ListContainerStats: of those that have not exited. A pod that ends meanwhile has none. */
export async function listContainerStats(
  { logger, pods, toolstack }: NodeContext,
  filter: ContainerStatsFilter,
  signal: AbortSignal,
): Promise<ContainerUsage[]> {
  const domains = toolstack.domains();
  const each = pods
    .sandboxes()
    .filter((sandbox) => sandbox.id.startsWith(filter.sandboxId))
    .map(async (sandbox) => {
      const containers = counted(sandbox, filter);
      if (containers.length === 0) return [];
      try {
        return usages(containers, (await guestStats(sandbox, domains, signal)).containers);
      } catch (error) {
        if (signal.aborted) throw error;
        logger.warn({ error, pod: sandbox.id }, "a pod does not say what it uses");
        return [];
      }
    });
  return (await Promise.all(each)).flat();
}

/** Joins containers with what their guest says of them; who is not in both is left out. */
export function usages(
  containers: readonly Container[],
  accounts: readonly GuestAccount[],
): ContainerUsage[] {
  const at = now();
  const byId = new Map(accounts.map((account) => [account.containerId, account]));
  return containers.flatMap((container) => {
    const account = byId.get(container.id);
    if (account === undefined) return [];
    const nanoCores = container.cpuRate.observe(at, account.cpuNanoseconds);
    return [{ container, at, account, nanoCores }];
  });
}

function counted(sandbox: Sandbox, filter: ContainerStatsFilter): Container[] {
  const vm = sandbox.vm ?? sandbox.unikernel?.vm;
  if (vm === undefined || vm.end !== undefined) return [];
  return [...sandbox.containers.values()].filter(
    ({ id, metadata, state }) =>
      (state === "created" || state === "running") &&
      id.startsWith(filter.id) &&
      hasLabels(metadata.config.labels, filter.labels),
  );
}
