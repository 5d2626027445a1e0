// SPDX-License-Identifier: Apache-2.0
import { killInGuest, removeFromGuest } from "../../pod/guest-container.ts";
import { stopUnikernel } from "../../pod/unikernel-pod.ts";
import type { NodeContext } from "../node-context.ts";

/** RemoveContainer: by force when it runs. Not there = nothing to do. */
export async function removeContainer(
  { pods }: NodeContext,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const container = pods.findContainer(id);
  if (container === undefined) return;
  using _lock = await container.lock.acquire(`the removal of container ${container.id}`, signal);
  if (pods.findContainer(container.id) === undefined) return;
  const sandbox = pods.sandboxOf(container);
  container.update({ removing: true });
  if (sandbox.unikernel !== undefined && container.mayRun)
    await stopUnikernel(sandbox, container, 0);
  const { vm } = sandbox;
  if (vm !== undefined && vm.end === undefined) {
    if (container.mayRun) await killInGuest(vm, container, signal);
    await removeFromGuest(vm, container.id, signal);
  }
  pods.removeContainer(sandbox, container);
}
