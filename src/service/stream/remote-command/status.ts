// SPDX-License-Identifier: Apache-2.0
import type { CommandStatus } from "./session.ts";

/**
 * What goes over the error stream. From v4.channel.k8s.io on it is a Kubernetes Status in JSON, also
 * for success; before, the text of an error and nothing else.
 */
export function statusMessage(status: CommandStatus, version: number): string {
  if (version >= 4) return JSON.stringify({ metadata: {}, ...kubernetesStatus(status) });
  return status.kind === "success" ? "" : errorText(status);
}

function kubernetesStatus(status: CommandStatus): object {
  switch (status.kind) {
    case "success":
      return { status: "Success" };
    case "exited":
      return {
        status: "Failure",
        message: errorText(status),
        reason: "NonZeroExitCode",
        details: { causes: [{ reason: "ExitCode", message: String(status.code) }] },
      };
    case "failed":
      return {
        status: "Failure",
        message: errorText(status),
        reason: "InternalError",
        details: { causes: [{ message: status.message }] },
        code: 500,
      };
  }
}

function errorText(status: Exclude<CommandStatus, { kind: "success" }>): string {
  if (status.kind === "failed") return `Internal error occurred: ${status.message}`;
  return `command terminated with non-zero exit code: exit status ${status.code}`;
}
