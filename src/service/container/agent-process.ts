// SPDX-License-Identifier: Apache-2.0
import type { Process } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { ContainerMetadata } from "../../pod/container-record.ts";
import { ambientCapabilities } from "./capabilities.ts";

/** What an exec does differently from its container's process. */
export interface ExecWishes {
  readonly arguments: readonly string[];
  readonly terminal?: boolean;
  readonly stdin?: boolean;
}

/** A container's process as the agent wants it, or one more beside it. */
export function agentProcess({ config, process }: ContainerMetadata, exec?: ExecWishes): Process {
  const { security } = config;
  const { terminal = false, stdin = false } = exec ?? config;
  // As a login would do; whoever wants another terminal says so in the container's environment.
  const hasTerm = process.environment.some((entry) => entry.startsWith("TERM="));
  return {
    arguments: [...(exec?.arguments ?? process.arguments)],
    environment: [...process.environment, ...(terminal && !hasTerm ? ["TERM=xterm"] : [])],
    workingDirectory: process.workingDirectory,
    user: {
      specification: process.user,
      uid: 0,
      gid: undefined,
      supplementalGroups: [...security.supplementalGroups],
      strictSupplementalGroups: security.strictSupplementalGroups,
    },
    terminal,
    stdin,
    effectiveCapabilities: [...process.capabilities],
    ambientCapabilities: ambientCapabilities(config.security),
    noNewPrivileges: security.noNewPrivileges,
    terminalWidth: 0,
    terminalHeight: 0,
  };
}
