// SPDX-License-Identifier: Apache-2.0
import type { RuntimeServiceServer } from "../../cri-proto/generated/runtime/v1/api.ts";
import { containerStats, listContainerStats } from "../service/container/stats.ts";
import { updateContainerResources } from "../service/container/update.ts";
import { METRIC_DEFINITIONS } from "../service/metrics/definitions.ts";
import type { NodeContext } from "../service/node-context.ts";
import { listPodSandboxStats, podSandboxStats } from "../service/sandbox/stats.ts";
import { updatePodSandboxResources } from "../service/sandbox/update.ts";
import type { Implemented } from "./implemented.ts";
import { metricDescriptor, podMetrics } from "./metrics-response.ts";
import { containerResources, podResources } from "./resources-request.ts";
import {
  containerStatsFilter,
  containerStatsMessage,
  podStatsFilter,
  podStatsMessage,
} from "./stats-response.ts";
import { unary } from "./unary.ts";

/** Verbs about what pods and containers use, and what they may use. */
export function statsVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  return { ...usageVerbs(context), ...metricVerbs(context), ...updateVerbs(context) };
}

function usageVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  const { logger } = context;
  return {
    containerStats: unary("ContainerStats", "quiet", logger, async ({ containerId }, signal) => ({
      stats: containerStatsMessage(await containerStats(context, containerId, signal)),
    })),
    listContainerStats: unary("ListContainerStats", "quiet", logger, async ({ filter }, signal) => {
      const usages = await listContainerStats(context, containerStatsFilter(filter), signal);
      return { stats: usages.map(containerStatsMessage) };
    }),
    podSandboxStats: unary(
      "PodSandboxStats",
      "quiet",
      logger,
      async ({ podSandboxId }, signal) => ({
        stats: podStatsMessage(await podSandboxStats(context, podSandboxId, signal)),
      }),
    ),
    listPodSandboxStats: unary(
      "ListPodSandboxStats",
      "quiet",
      logger,
      async ({ filter }, signal) => {
        const usages = await listPodSandboxStats(context, podStatsFilter(filter), signal);
        return { stats: usages.map(podStatsMessage) };
      },
    ),
  };
}

function metricVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  const { logger } = context;
  return {
    listMetricDescriptors: unary("ListMetricDescriptors", "quiet", logger, () => ({
      descriptors: METRIC_DEFINITIONS.map(metricDescriptor),
    })),
    listPodSandboxMetrics: unary("ListPodSandboxMetrics", "quiet", logger, async (_, signal) => {
      const usages = await listPodSandboxStats(context, { id: "", labels: {} }, signal);
      return { podMetrics: usages.map(podMetrics) };
    }),
  };
}

function updateVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  const { logger } = context;
  return {
    updateContainerResources: unary(
      "UpdateContainerResources",
      "logged",
      logger,
      async ({ containerId, linux }, signal) => {
        const resources = containerResources(linux, "linux");
        await updateContainerResources(context, { id: containerId, resources }, signal);
        return {};
      },
    ),
    updatePodSandboxResources: unary(
      "UpdatePodSandboxResources",
      "logged",
      logger,
      ({ overhead, podSandboxId, resources }) => {
        updatePodSandboxResources(context, podSandboxId, podResources(resources, overhead));
        return {};
      },
    ),
  };
}
