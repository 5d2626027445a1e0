// SPDX-License-Identifier: Apache-2.0
import type { RuntimeServiceServer } from "../../cri-proto/generated/runtime/v1/api.ts";
import { listContainers } from "../service/container/list.ts";
import { listContainerStats } from "../service/container/stats.ts";
import { containerEvents } from "../service/node/container-events.ts";
import type { NodeContext } from "../service/node-context.ts";
import { listPodSandboxes } from "../service/sandbox/list.ts";
import { listPodSandboxStats } from "../service/sandbox/stats.ts";
import { containerFilter, containerMessage } from "./container-response.ts";
import { containerEvent } from "./event-response.ts";
import type { Implemented } from "./implemented.ts";
import { podMetrics } from "./metrics-response.ts";
import { podSandbox, sandboxFilter } from "./sandbox-response.ts";
import { chunks, serverStream } from "./server-stream.ts";
import {
  containerStatsFilter,
  containerStatsMessage,
  podStatsFilter,
  podStatsMessage,
} from "./stats-response.ts";

/** Verbs that answer with a stream: the lists in pieces, and events as they come. */
export function streamVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  const { logger } = context;
  return {
    streamPodSandboxes: serverStream("StreamPodSandboxes", logger, ({ filter }) =>
      chunks(listPodSandboxes(context, sandboxFilter(filter)).map(podSandbox), (podSandboxes) => ({
        podSandboxes,
      })),
    ),
    streamContainers: serverStream("StreamContainers", logger, ({ filter }) =>
      chunks(
        listContainers(context, containerFilter(filter)).map(containerMessage),
        (containers) => ({ containers }),
      ),
    ),
    streamContainerStats: serverStream(
      "StreamContainerStats",
      logger,
      async function* ({ filter }, signal) {
        const usages = await listContainerStats(context, containerStatsFilter(filter), signal);
        const stats = usages.map(containerStatsMessage);
        yield* chunks(stats, (containerStats) => ({ containerStats }));
      },
    ),
    streamPodSandboxStats: serverStream(
      "StreamPodSandboxStats",
      logger,
      async function* ({ filter }, signal) {
        const usages = await listPodSandboxStats(context, podStatsFilter(filter), signal);
        const stats = usages.map(podStatsMessage);
        yield* chunks(stats, (podSandboxStats) => ({ podSandboxStats }));
      },
    ),
    streamPodSandboxMetrics: serverStream(
      "StreamPodSandboxMetrics",
      logger,
      async function* (_, signal) {
        const usages = await listPodSandboxStats(context, { id: "", labels: {} }, signal);
        yield* chunks(usages.map(podMetrics), (podSandboxMetrics) => ({ podSandboxMetrics }));
      },
    ),
    getContainerEvents: serverStream("GetContainerEvents", logger, async function* (_, signal) {
      for await (const event of containerEvents(context, signal)) yield containerEvent(event);
    }),
  };
}
