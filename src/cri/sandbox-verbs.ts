// SPDX-License-Identifier: Apache-2.0
import type { RuntimeServiceServer } from "../../cri-proto/generated/runtime/v1/api.ts";
import { now } from "../pod/persisted.ts";
import type { NodeContext } from "../service/node-context.ts";
import { listPodSandboxes } from "../service/sandbox/list.ts";
import { removePodSandbox } from "../service/sandbox/remove.ts";
import { runPodSandbox } from "../service/sandbox/run.ts";
import { podSandboxDetails, podSandboxStatus } from "../service/sandbox/status.ts";
import { stopPodSandbox } from "../service/sandbox/stop.ts";
import { containerStatuses } from "./event-response.ts";
import type { Implemented } from "./implemented.ts";
import { info } from "./info.ts";
import { sandboxConfig } from "./sandbox-request.ts";
import { podSandbox, podSandboxStatusMessage, sandboxFilter } from "./sandbox-response.ts";
import { unary } from "./unary.ts";

/** Verbs about sandboxes. */
export function sandboxVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  const { logger } = context;
  return {
    runPodSandbox: unary("RunPodSandbox", "logged", logger, async (request, signal) => ({
      podSandboxId: await runPodSandbox(context, sandboxConfig(request), signal),
    })),
    stopPodSandbox: unary("StopPodSandbox", "logged", logger, async ({ podSandboxId }, signal) => {
      await stopPodSandbox(context, podSandboxId, signal);
      return {};
    }),
    removePodSandbox: unary(
      "RemovePodSandbox",
      "logged",
      logger,
      async ({ podSandboxId }, signal) => {
        await removePodSandbox(context, podSandboxId, signal);
        return {};
      },
    ),
    podSandboxStatus: unary("PodSandboxStatus", "quiet", logger, ({ podSandboxId, verbose }) => {
      const sandbox = podSandboxStatus(context, podSandboxId);
      return {
        status: podSandboxStatusMessage(sandbox),
        info: info(verbose, () => podSandboxDetails(sandbox)),
        containersStatuses: containerStatuses(sandbox),
        timestamp: now(),
      };
    }),
    listPodSandbox: unary("ListPodSandbox", "quiet", logger, ({ filter }) => ({
      items: listPodSandboxes(context, sandboxFilter(filter)).map(podSandbox),
    })),
  };
}
