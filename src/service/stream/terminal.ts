// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "../../shared/logger.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";
import type { RemoteCommandSession } from "./remote-command/session.ts";

/** Gives a process's terminal each size that the client tells, until the session ends. */
export async function followTerminalSize(
  vm: PodVm,
  id: { readonly containerId: string; readonly execId: string },
  session: RemoteCommandSession,
  logger: Logger,
): Promise<void> {
  for await (const size of session.terminalSizes) {
    try {
      const value = { containerId: id.containerId, execId: id.execId, ...size };
      await vm.call({ $case: "resizeTerminal", value }, { signal: session.gone });
    } catch (error) {
      // The process may have ended just now; a terminal of the old size is no reason to end it.
      logger.debug({ error, ...id }, "a terminal could not be resized");
    }
  }
}
