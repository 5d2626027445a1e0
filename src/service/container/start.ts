// SPDX-License-Identifier: Apache-2.0
import { startInGuest } from "../../pod/guest-container.ts";
import type { NodeContext } from "../node-context.ts";

/** StartContainer. Throws "failed-precondition" unless the container has just been created. */
export async function startContainer(
  { pods }: NodeContext,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const container = pods.getContainer(id);
  using _lock = await container.lock.acquire(`the start of container ${container.id}`, signal);
  container.require("created", "start");
  const vm = pods.sandboxOf(container).requireVm();
  await startInGuest(vm, container, { again: false });
}
