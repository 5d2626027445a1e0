// SPDX-License-Identifier: Apache-2.0
import type { ContainerUsage } from "../container/stats.ts";
import { ofAccount } from "./container.ts";
import type { MetricDefinition } from "./definitions.ts";

/** Memory, by the container's cgroup in the guest. */
export const MEMORY_METRICS: readonly MetricDefinition<ContainerUsage>[] = [
  ofAccount(
    "gauge",
    "container_memory_usage_bytes",
    "Memory in use, caches included",
    ({ memoryUsageBytes }) => memoryUsageBytes,
  ),
  ofAccount(
    "gauge",
    "container_memory_working_set_bytes",
    "Memory in use that cannot be reclaimed easily",
    ({ memoryWorkingSetBytes }) => memoryWorkingSetBytes,
  ),
  ofAccount(
    "gauge",
    "container_memory_max_usage_bytes",
    "The most memory that was ever in use",
    ({ memoryPeakBytes }) => memoryPeakBytes,
  ),
  ofAccount(
    "gauge",
    "container_memory_rss",
    "Anonymous memory",
    ({ memoryRssBytes }) => memoryRssBytes,
  ),
  ofAccount(
    "gauge",
    "container_memory_cache",
    "Cached parts of files",
    ({ memoryCacheBytes }) => memoryCacheBytes,
  ),
  ofAccount(
    "gauge",
    "container_memory_kernel_usage",
    "Memory of the guest's kernel on behalf of the container",
    ({ memoryKernelBytes }) => memoryKernelBytes,
  ),
  ofAccount(
    "gauge",
    "container_memory_mapped_file",
    "Parts of files that are mapped",
    ({ memoryMappedFileBytes }) => memoryMappedFileBytes,
  ),
  ofAccount(
    "gauge",
    "container_memory_swap",
    "Memory that was swapped out",
    ({ memorySwapBytes }) => memorySwapBytes,
  ),
  ofAccount(
    "gauge",
    "container_memory_total_active_file_bytes",
    "Cached parts of files that were used lately",
    ({ memoryActiveFileBytes }) => memoryActiveFileBytes,
  ),
  ofAccount(
    "gauge",
    "container_memory_total_inactive_file_bytes",
    "Cached parts of files that go first",
    ({ memoryInactiveFileBytes }) => memoryInactiveFileBytes,
  ),
  ofAccount(
    "counter",
    "container_memory_failcnt",
    "How often the memory limit was reached",
    ({ memoryLimitHits }) => memoryLimitHits,
  ),
  {
    type: "counter",
    name: "container_memory_failures_total",
    help: "Page faults of the container",
    labels: ["failure_type", "scope"],
    read: ({ account }) => [
      { labels: ["pgfault", "container"], value: account.pageFaults },
      { labels: ["pgmajfault", "container"], value: account.majorPageFaults },
    ],
  },
];

/** The writable layer, which is in the guest's memory. */
export const FILESYSTEM_METRICS: readonly MetricDefinition<ContainerUsage>[] = [
  ofLayer(
    "container_fs_usage_bytes",
    "Room that the writable layer takes",
    ({ writableLayerBytes }) => writableLayerBytes,
  ),
  ofLayer(
    "container_fs_limit_bytes",
    "Room that the writable layer may take",
    ({ writableLayerTotalBytes }) => writableLayerTotalBytes,
  ),
  ofLayer(
    "container_fs_inodes_total",
    "Files that the writable layer may have",
    ({ writableLayerTotalInodes }) => writableLayerTotalInodes,
  ),
  ofLayer(
    "container_fs_inodes_free",
    "Files that the writable layer may still get",
    ({ writableLayerTotalInodes, writableLayerInodes }) =>
      writableLayerTotalInodes > writableLayerInodes
        ? writableLayerTotalInodes - writableLayerInodes
        : 0n,
  ),
];

function ofLayer(
  name: string,
  help: string,
  value: (account: ContainerUsage["account"]) => bigint,
): MetricDefinition<ContainerUsage> {
  return {
    type: "gauge",
    name,
    help,
    labels: ["device"],
    read: ({ account }) => [{ labels: ["tmpfs"], value: value(account) }],
  };
}
