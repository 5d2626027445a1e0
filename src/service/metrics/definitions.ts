// SPDX-License-Identifier: Apache-2.0
//
// The metrics of pods and containers (ListMetricDescriptors, ListPodSandboxMetrics), under the
// names that cAdvisor gives them, so that kubelet's /metrics/cadvisor keeps its meaning. Values are
// whole numbers (CRI, Metric.value): seconds are cut off, not rounded.
import type { ContainerUsage } from "../container/stats.ts";
import type { PodUsage } from "../sandbox/stats.ts";
import { CPU_METRICS, LIFE_METRICS, PROCESS_METRICS, SPEC_METRICS } from "./container.ts";
import { DISK_METRICS, NETWORK_METRICS } from "./devices.ts";
import { FILESYSTEM_METRICS, MEMORY_METRICS } from "./memory.ts";

/** One value of a metric, with its labels in the order of `MetricDefinition.labels`. */
export interface Sample {
  readonly value: bigint;
  readonly labels?: readonly string[];
}

/** A metric: what it is called, and how it is read off. */
export interface MetricDefinition<Usage = never> {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge";
  /** Keys of the labels beside those that say which container it is. */
  readonly labels: readonly string[];
  readonly read: (usage: Usage) => readonly Sample[];
}

/** Metrics of each container. */
export const CONTAINER_METRICS: readonly MetricDefinition<ContainerUsage>[] = [
  ...CPU_METRICS,
  ...MEMORY_METRICS,
  ...FILESYSTEM_METRICS,
  ...PROCESS_METRICS,
  ...SPEC_METRICS,
  ...LIFE_METRICS,
];

/** Metrics of a pod as a whole: its containers share the devices of one VM. */
export const POD_METRICS: readonly MetricDefinition<PodUsage>[] = [
  ...NETWORK_METRICS,
  ...DISK_METRICS,
];

/** Both. */
export const METRIC_DEFINITIONS: readonly MetricDefinition[] = [
  ...CONTAINER_METRICS,
  ...POD_METRICS,
];
