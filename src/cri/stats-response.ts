// SPDX-License-Identifier: Apache-2.0
import type { NetworkStats } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { UInt64Value } from "../../cri-proto/generated/runtime/v1/common.ts";
import type {
  ContainerStats,
  PodSandboxStats,
  ContainerStatsFilter as WireContainerFilter,
  PodSandboxStatsFilter as WirePodFilter,
} from "../../cri-proto/generated/runtime/v1/stats.ts";
import type {
  FilesystemUsage,
  MemoryUsage,
  NetworkInterfaceUsage,
  NetworkUsage,
  SwapUsage,
} from "../../cri-proto/generated/runtime/v1/usage.ts";
import type { ContainerStatsFilter, ContainerUsage } from "../service/container/stats.ts";
import type { PodStatsFilter, PodUsage } from "../service/sandbox/stats.ts";

/** The interface that Kubernetes counts as the pod's own (CNI_IFNAME). */
const DEFAULT_INTERFACE = "eth0";

/** What ListContainerStats shall match. */
export function containerStatsFilter(
  filter: WireContainerFilter | undefined,
): ContainerStatsFilter {
  return {
    id: filter?.id ?? "",
    sandboxId: filter?.podSandboxId ?? "",
    labels: filter?.labelSelector ?? {},
  };
}

/** What ListPodSandboxStats shall match. */
export function podStatsFilter(filter: WirePodFilter | undefined): PodStatsFilter {
  return { id: filter?.id ?? "", labels: filter?.labelSelector ?? {} };
}

/**
 * What a container uses. Its writable layer is in its VM, where kubelet finds no mount point. Of a
 * unikernel there is what Xen counts; what only a guest could count is left out, which is not 0.
 */
export function containerStatsMessage(usage: ContainerUsage): ContainerStats {
  const { account, at, container, nanoCores } = usage;
  const { id, config, unikernel } = container.metadata;
  const isCounted = unikernel === undefined;
  return {
    attributes: {
      id,
      metadata: { name: config.name, attempt: config.attempt },
      labels: config.labels,
      annotations: config.annotations,
    },
    cpu: {
      timestamp: at,
      usageCoreNanoSeconds: value(account.cpuNanoseconds),
      usageNanoCores: nanoCores === undefined ? undefined : value(nanoCores),
      psi: undefined,
    },
    memory: containerMemory(usage, isCounted),
    writableLayer: isCounted ? writableLayer(usage) : undefined,
    swap: isCounted ? swap(usage) : undefined,
    io: undefined,
  };
}

/** What a pod uses: CPU time by Xen's account, everything else by the guest's, if there is one that counts. */
export function podStatsMessage(usage: PodUsage): PodSandboxStats {
  const { at, containers, domain, guest, nanoCores, sandbox } = usage;
  const isCounted = sandbox.unikernel === undefined;
  const { id, config } = sandbox.metadata;
  const { attempt, name, namespace, uid } = config;
  return {
    attributes: {
      id,
      metadata: { attempt, name, namespace, uid },
      labels: config.labels,
      annotations: config.annotations,
    },
    linux: {
      cpu: {
        timestamp: at,
        usageCoreNanoSeconds: value(domain.cpuNanoseconds),
        usageNanoCores: nanoCores === undefined ? undefined : value(nanoCores),
        psi: undefined,
      },
      memory: podMemory(usage, isCounted),
      network: isCounted ? network(at, guest.networks) : undefined,
      process: isCounted ? { timestamp: at, processCount: value(guest.guestProcesses) } : undefined,
      containers: containers.map(containerStatsMessage),
      io: undefined,
    },
    windows: undefined,
  };
}

function writableLayer({ account, at }: ContainerUsage): FilesystemUsage {
  return {
    timestamp: at,
    fsId: undefined,
    usedBytes: value(account.writableLayerBytes),
    inodesUsed: value(account.writableLayerInodes),
  };
}

function swap({ account, at }: ContainerUsage): SwapUsage {
  return {
    timestamp: at,
    swapAvailableBytes: value(0n),
    swapUsageBytes: value(account.memorySwapBytes),
  };
}

function containerMemory({ account, at }: ContainerUsage, isCounted: boolean): MemoryUsage {
  const { memoryLimitBytes: limit, memoryWorkingSetBytes: workingSet } = account;
  return {
    timestamp: at,
    workingSetBytes: value(workingSet),
    availableBytes: limit === 0n ? undefined : value(limit > workingSet ? limit - workingSet : 0n),
    usageBytes: value(account.memoryUsageBytes),
    rssBytes: value(account.memoryRssBytes),
    pageFaults: isCounted ? value(account.pageFaults) : undefined,
    majorPageFaults: isCounted ? value(account.majorPageFaults) : undefined,
    psi: undefined,
  };
}

function podMemory({ at, containers, guest }: PodUsage, isCounted: boolean): MemoryUsage {
  const { guestMemoryTotalBytes: total, guestMemoryAvailableBytes: available } = guest;
  const sum = (of: (usage: ContainerUsage) => bigint) =>
    containers.reduce((all, usage) => all + of(usage), 0n);
  return {
    timestamp: at,
    workingSetBytes: value(total - available),
    availableBytes: value(available),
    usageBytes: value(total - guest.guestMemoryFreeBytes),
    rssBytes: value(guest.guestMemoryAnonymousBytes),
    pageFaults: isCounted ? value(sum(({ account }) => account.pageFaults)) : undefined,
    majorPageFaults: isCounted ? value(sum(({ account }) => account.majorPageFaults)) : undefined,
    psi: undefined,
  };
}

function network(at: bigint, interfaces: readonly NetworkStats[]): NetworkUsage {
  const all = interfaces.map(interfaceUsage);
  const own = all.find(({ name }) => name === DEFAULT_INTERFACE);
  return { timestamp: at, defaultInterface: own, interfaces: all.filter((each) => each !== own) };
}

function interfaceUsage(counters: NetworkStats): NetworkInterfaceUsage {
  return {
    name: counters.name,
    rxBytes: value(counters.receivedBytes),
    rxErrors: value(counters.receiveErrors),
    txBytes: value(counters.sentBytes),
    txErrors: value(counters.sendErrors),
  };
}

/** A guest may say anything, also that less than nothing is in use. */
function value(number: bigint): UInt64Value {
  return { value: number < 0n ? 0n : number };
}
