// SPDX-License-Identifier: Apache-2.0
import type { RuntimeServiceServer } from "../../cri-proto/generated/runtime/v1/api.ts";
import { runtimeConditions, runtimeDetails } from "../service/node/status.ts";
import type { NodeContext } from "../service/node-context.ts";
import type { Implemented } from "./implemented.ts";
import { info } from "./info.ts";
import { runtimeConfigMessage, statusMessage, versionMessage } from "./node-messages.ts";
import { unary } from "./unary.ts";

/** Verbs about the runtime itself. */
export function nodeVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  const { logger } = context;
  return {
    version: unary("Version", "quiet", logger, () => versionMessage()),
    status: unary("Status", "quiet", logger, ({ verbose }) => {
      const conditions = runtimeConditions(context);
      return statusMessage(
        conditions,
        info(verbose, () => runtimeDetails(context)),
      );
    }),
    runtimeConfig: unary("RuntimeConfig", "quiet", logger, () => runtimeConfigMessage()),
  };
}
