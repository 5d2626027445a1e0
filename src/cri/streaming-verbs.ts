// SPDX-License-Identifier: Apache-2.0
import type { RuntimeServiceServer } from "../../cri-proto/generated/runtime/v1/api.ts";
import type { NodeContext } from "../service/node-context.ts";
import { attach } from "../service/stream/attach.ts";
import { exec } from "../service/stream/exec.ts";
import { portForward } from "../service/stream/port-forward.ts";
import type { Implemented } from "./implemented.ts";
import { attachRequest, execRequest, portForwardRequest } from "./streaming-request.ts";
import { unary } from "./unary.ts";

/** Verbs that answer with the URL of a stream. */
export function streamingVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  const { logger } = context;
  return {
    exec: unary("Exec", "logged", logger, (request) => ({
      url: exec(context, execRequest(request)),
    })),
    attach: unary("Attach", "logged", logger, (request) => ({
      url: attach(context, attachRequest(request)),
    })),
    portForward: unary("PortForward", "logged", logger, (request) => ({
      url: portForward(context, portForwardRequest(request)),
    })),
  };
}
