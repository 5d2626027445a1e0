// SPDX-License-Identifier: Apache-2.0
import type { NodeContext } from "../node-context.ts";

/**
 * ReopenContainerLog: the VMM gets a new descriptor of the path; what comes later goes there.
 * Throws "failed-precondition" unless the container runs.
 */
export async function reopenContainerLog(
  { pods }: NodeContext,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const container = pods.getContainer(id);
  container.require("running", "reopen its log");
  const sandbox = pods.sandboxOf(container);
  const vm = sandbox.unikernel?.vm ?? sandbox.requireVm();
  const { logPath, config } = container.metadata;
  await vm.setContainerLog(container.id, logPath, config.terminal, signal);
}
