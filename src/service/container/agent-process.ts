// SPDX-License-Identifier: Apache-2.0
import type { Process } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { ContainerMetadata } from "../../pod/container-record.ts";

/** A container's process as the agent wants it; `exec` replaces what an exec does differently. */
export function agentProcess(
  { config, process }: ContainerMetadata,
  exec?: { readonly arguments: readonly string[] },
): Process {
  const { security } = config;
  return {
    arguments: [...(exec?.arguments ?? process.arguments)],
    environment: [...process.environment],
    workingDirectory: process.workingDirectory,
    user: {
      specification: process.user,
      uid: 0,
      gid: undefined,
      supplementalGroups: [...security.supplementalGroups],
      strictSupplementalGroups: security.strictSupplementalGroups,
    },
    terminal: exec === undefined && config.terminal,
    stdin: exec === undefined && config.stdin,
    effectiveCapabilities: [...process.capabilities],
    noNewPrivileges: security.noNewPrivileges,
    terminalWidth: 0,
    terminalHeight: 0,
  };
}
