// SPDX-License-Identifier: Apache-2.0
import type { ContainerUsage } from "../container/stats.ts";
import type { MetricDefinition } from "./definitions.ts";

const NANOSECONDS = 1_000_000_000n;

type Account = ContainerUsage["account"];

/** A metric without labels that is one number of the guest's account. */
export function ofAccount(
  type: "counter" | "gauge",
  name: string,
  help: string,
  value: (account: Account) => bigint,
): MetricDefinition<ContainerUsage> {
  return { type, name, help, labels: [], read: ({ account }) => [{ value: value(account) }] };
}

/** Processor time. */
export const CPU_METRICS: readonly MetricDefinition<ContainerUsage>[] = [
  ofAccount(
    "counter",
    "container_cpu_usage_seconds_total",
    "Processor time of the container in seconds",
    ({ cpuNanoseconds }) => cpuNanoseconds / NANOSECONDS,
  ),
  ofAccount(
    "counter",
    "container_cpu_user_seconds_total",
    "Processor time in user mode in seconds",
    ({ cpuUserNanoseconds }) => cpuUserNanoseconds / NANOSECONDS,
  ),
  ofAccount(
    "counter",
    "container_cpu_system_seconds_total",
    "Processor time in the guest's kernel in seconds",
    ({ cpuSystemNanoseconds }) => cpuSystemNanoseconds / NANOSECONDS,
  ),
  ofAccount(
    "counter",
    "container_cpu_cfs_periods_total",
    "Periods of the CPU limit in which the container ran",
    ({ cpuPeriods }) => cpuPeriods,
  ),
  ofAccount(
    "counter",
    "container_cpu_cfs_throttled_periods_total",
    "Periods of the CPU limit in which the container was held back",
    ({ cpuThrottledPeriods }) => cpuThrottledPeriods,
  ),
  ofAccount(
    "counter",
    "container_cpu_cfs_throttled_seconds_total",
    "Time for which the CPU limit held the container back, in seconds",
    ({ cpuThrottledNanoseconds }) => cpuThrottledNanoseconds / NANOSECONDS,
  ),
];

/** Processes and their files. */
export const PROCESS_METRICS: readonly MetricDefinition<ContainerUsage>[] = [
  ofAccount(
    "gauge",
    "container_processes",
    "Processes of the container",
    ({ processes }) => processes,
  ),
  ofAccount("gauge", "container_threads", "Threads of all its processes", ({ pids }) => pids),
  ofAccount(
    "gauge",
    "container_threads_max",
    "Threads that the container may have; 0 = no limit",
    ({ pidsLimit }) => pidsLimit,
  ),
  ofAccount(
    "gauge",
    "container_file_descriptors",
    "Open files of all its processes",
    ({ openFiles }) => openFiles,
  ),
];

type Limits = ContainerUsage["container"]["resources"];

function ofLimits(
  name: string,
  help: string,
  value: (limits: Limits) => number,
): MetricDefinition<ContainerUsage> {
  const read = ({ container }: ContainerUsage) => [
    { value: BigInt(Math.max(0, value(container.resources))) },
  ];
  return { type: "gauge", name, help, labels: [], read };
}

/** What the container was given; 0 = no limit. */
export const SPEC_METRICS: readonly MetricDefinition<ContainerUsage>[] = [
  ofLimits(
    "container_spec_cpu_period",
    "Period of the CPU limit in microseconds",
    ({ cpuPeriodMicroseconds }) => cpuPeriodMicroseconds,
  ),
  ofLimits(
    "container_spec_cpu_quota",
    "Processor time in each period, in microseconds",
    ({ cpuQuotaMicroseconds }) => cpuQuotaMicroseconds,
  ),
  ofLimits(
    "container_spec_cpu_shares",
    "Weight against the other containers of the pod",
    ({ cpuShares }) => cpuShares,
  ),
  ofLimits(
    "container_spec_memory_limit_bytes",
    "Memory that the container may use",
    ({ memoryLimitBytes }) => memoryLimitBytes,
  ),
  ofLimits(
    "container_spec_memory_swap_limit_bytes",
    "Memory and swap together that the container may use",
    ({ memorySwapLimitBytes }) => memorySwapLimitBytes,
  ),
];

/** When it began, when it was seen last, and how often it ran out of memory. */
export const LIFE_METRICS: readonly MetricDefinition<ContainerUsage>[] = [
  {
    type: "gauge",
    name: "container_start_time_seconds",
    help: "When the container was started, in seconds since the epoch",
    labels: [],
    read: ({ container }) => [{ value: (container.status.startedAt ?? 0n) / NANOSECONDS }],
  },
  {
    type: "gauge",
    name: "container_last_seen",
    help: "When the container was measured, in seconds since the epoch",
    labels: [],
    read: ({ at }) => [{ value: at / NANOSECONDS }],
  },
  ofAccount(
    "counter",
    "container_oom_events_total",
    "Processes that were ended for lack of memory",
    ({ outOfMemoryKills }) => outOfMemoryKills,
  ),
];
