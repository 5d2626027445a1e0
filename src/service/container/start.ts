// SPDX-License-Identifier: Apache-2.0
import { startInGuest } from "../../pod/guest-container.ts";
import { requireSeat, startUnikernel } from "../../pod/unikernel-pod.ts";
import type { NodeContext } from "../node-context.ts";
import { observeBoot } from "../observe-boot.ts";

/** StartContainer. Throws "failed-precondition" unless the container has just been created. */
export async function startContainer(
  { logger, metrics, network, pods, toolstack }: NodeContext,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const container = pods.getContainer(id);
  using _lock = await container.lock.acquire(`the start of container ${container.id}`, signal);
  container.require("created", "start");
  const sandbox = pods.sandboxOf(container);
  if (sandbox.unikernel !== undefined) {
    requireSeat(sandbox);
    const vm = await startUnikernel({ network, toolstack, logger }, sandbox, container);
    // Of one that gives no sign nobody knows when it had booted.
    if (container.metadata.unikernel?.signOfLife === "sysctl") {
      observeBoot(metrics, "unikernel", vm);
    }
  } else await startInGuest(sandbox.requireVm(), container, { again: false });
}
