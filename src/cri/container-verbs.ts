// SPDX-License-Identifier: Apache-2.0
import type { RuntimeServiceServer } from "../../cri-proto/generated/runtime/v1/api.ts";
import { createContainer } from "../service/container/create.ts";
import { execSync } from "../service/container/exec-sync.ts";
import { listContainers } from "../service/container/list.ts";
import { removeContainer } from "../service/container/remove.ts";
import { reopenContainerLog } from "../service/container/reopen-log.ts";
import { startContainer } from "../service/container/start.ts";
import { containerDetails, containerStatus } from "../service/container/status.ts";
import { stopContainer } from "../service/container/stop.ts";
import type { NodeContext } from "../service/node-context.ts";
import { containerConfig } from "./container-request.ts";
import { containerFilter, containerMessage, containerStatusMessage } from "./container-response.ts";
import { execSyncRequest, stopTimeoutMs } from "./exec-request.ts";
import type { Implemented } from "./implemented.ts";
import { info } from "./info.ts";
import { unary } from "./unary.ts";

/** Verbs about containers. */
export function containerVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  return { ...changingVerbs(context), ...readingVerbs(context) };
}

function changingVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  const { logger } = context;
  return {
    createContainer: unary("CreateContainer", "logged", logger, async (request, signal) => {
      const config = containerConfig(request);
      const create = { sandboxId: request.podSandboxId, config };
      return { containerId: await createContainer(context, create, signal) };
    }),
    startContainer: unary("StartContainer", "logged", logger, async ({ containerId }, signal) => {
      await startContainer(context, containerId, signal);
      return {};
    }),
    stopContainer: unary("StopContainer", "logged", logger, async (request, signal) => {
      const stop = { id: request.containerId, timeoutMs: stopTimeoutMs(request.timeout) };
      await stopContainer(context, stop, signal);
      return {};
    }),
    removeContainer: unary("RemoveContainer", "logged", logger, async ({ containerId }, signal) => {
      await removeContainer(context, containerId, signal);
      return {};
    }),
    reopenContainerLog: unary(
      "ReopenContainerLog",
      "logged",
      logger,
      async ({ containerId }, signal) => {
        await reopenContainerLog(context, containerId, signal);
        return {};
      },
    ),
  };
}

function readingVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  const { logger } = context;
  return {
    containerStatus: unary("ContainerStatus", "quiet", logger, ({ containerId, verbose }) => {
      const container = containerStatus(context, containerId);
      return {
        status: containerStatusMessage(container),
        info: info(verbose, () => containerDetails(container)),
      };
    }),
    listContainers: unary("ListContainers", "quiet", logger, ({ filter }) => ({
      containers: listContainers(context, containerFilter(filter)).map(containerMessage),
    })),
    // Probes come every few seconds.
    execSync: unary("ExecSync", "quiet", logger, (request, signal) =>
      execSync(context, execSyncRequest(request), signal),
    ),
  };
}
