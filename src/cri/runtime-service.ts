// SPDX-License-Identifier: Apache-2.0
import type { RuntimeServiceServer } from "../../cri-proto/generated/runtime/v1/api.ts";
import type { NodeContext } from "../service/node-context.ts";
import { containerVerbs } from "./container-verbs.ts";
import type { Implemented } from "./implemented.ts";
import { nodeVerbs } from "./node-verbs.ts";
import { sandboxVerbs } from "./sandbox-verbs.ts";
import { statsVerbs } from "./stats-verbs.ts";
import { streamVerbs } from "./stream-verbs.ts";
import { streamingVerbs } from "./streaming-verbs.ts";

/** The verbs of the RuntimeService that LightVM has. */
export function runtimeService(context: NodeContext): Implemented<RuntimeServiceServer> {
  return {
    ...nodeVerbs(context),
    ...sandboxVerbs(context),
    ...containerVerbs(context),
    ...statsVerbs(context),
    ...streamVerbs(context),
    ...streamingVerbs(context),
  };
}
