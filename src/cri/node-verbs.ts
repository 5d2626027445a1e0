// SPDX-License-Identifier: Apache-2.0
import { isIP } from "node:net";
import type { RuntimeServiceServer } from "../../cri-proto/generated/runtime/v1/api.ts";
import { runtimeConditions, runtimeDetails } from "../service/node/status.ts";
import { updateRuntimeConfig } from "../service/node/update-runtime-config.ts";
import type { NodeContext } from "../service/node-context.ts";
import { nodePaths } from "../shared/paths.ts";
import { invalid } from "./checks.ts";
import type { Implemented } from "./implemented.ts";
import { info } from "./info.ts";
import { runtimeConfigMessage, statusMessage, versionMessage } from "./node-messages.ts";
import { unary } from "./unary.ts";

/** Under the name and key where containerd tells it; clients look there for the containers' disk. */
function configInfo({ config }: NodeContext): string {
  return JSON.stringify({ stateDir: nodePaths(config).images });
}

/** Verbs about the runtime itself. */
export function nodeVerbs(context: NodeContext): Implemented<RuntimeServiceServer> {
  const { logger } = context;
  return {
    version: unary("Version", "quiet", logger, () => versionMessage()),
    status: unary("Status", "quiet", logger, ({ verbose }) => {
      const conditions = runtimeConditions(context);
      const details = info(verbose, () => runtimeDetails(context));
      return statusMessage(
        conditions,
        verbose ? { ...details, config: configInfo(context) } : details,
      );
    }),
    runtimeConfig: unary("RuntimeConfig", "quiet", logger, () => runtimeConfigMessage()),
    updateRuntimeConfig: unary("UpdateRuntimeConfig", "logged", logger, ({ runtimeConfig }) => {
      updateRuntimeConfig(context, podCidr(runtimeConfig?.networkConfig?.podCidr));
      return {};
    }),
  };
}

/** Ranges separated by commas; "" = nothing was said. */
function podCidr(text: string = ""): string {
  for (const range of text.split(",").filter((part) => part !== "")) {
    const [address = "", length = ""] = range.split("/");
    const bits = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
    if (!/^\d+$/.test(length) || Number(length) > bits) {
      throw invalid(`pod_cidr: "${range}" is no address range`);
    }
  }
  return text;
}
