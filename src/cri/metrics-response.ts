// SPDX-License-Identifier: Apache-2.0
import {
  type Metric,
  type MetricDescriptor,
  MetricType,
  type PodSandboxMetrics,
} from "../../cri-proto/generated/runtime/v1/metrics.ts";
import {
  CONTAINER_METRICS,
  type MetricDefinition,
  POD_METRICS,
} from "../service/metrics/definitions.ts";
import type { PodUsage } from "../service/sandbox/stats.ts";

/** What a metric is called and which labels it has. */
export function metricDescriptor({ help, labels, name }: MetricDefinition): MetricDescriptor {
  return { name, help, labelKeys: [...IDENTITY_LABELS, ...labels] };
}

/** The labels that every metric has, spelled as cAdvisor does, so that dashboards find them. */
const IDENTITY_LABELS = ["id", "name", "image", "container", "pod", "namespace"];

/** All metrics of a pod and its containers. */
export function podMetrics(usage: PodUsage): PodSandboxMetrics {
  const { sandbox } = usage;
  const { name, namespace } = sandbox.metadata.config;
  const own = [sandbox.id, sandbox.id, "", "", name, namespace];
  return {
    podSandboxId: sandbox.id,
    metrics: POD_METRICS.flatMap((definition) => samples(definition, usage, own, usage.at)),
    containerMetrics: usage.containers.map((each) => {
      const { config, id } = each.container.metadata;
      const labels = [id, id, config.image.reference, config.name, name, namespace];
      return {
        containerId: id,
        metrics: CONTAINER_METRICS.flatMap((definition) =>
          samples(definition, each, labels, each.at),
        ),
      };
    }),
  };
}

function samples<Usage>(
  definition: MetricDefinition<Usage>,
  usage: Usage,
  identity: readonly string[],
  at: bigint,
): Metric[] {
  const { name, read, type } = definition;
  return read(usage).map(({ labels = [], value }) => ({
    name,
    timestamp: at,
    metricType: type === "counter" ? MetricType.COUNTER : MetricType.GAUGE,
    labelValues: [...identity, ...labels],
    value: { value },
  }));
}
