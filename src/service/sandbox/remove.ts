// SPDX-License-Identifier: Apache-2.0
import type { NodeContext } from "../node-context.ts";
import { endSandbox } from "./end.ts";

/** RemovePodSandbox: ends it when it lives, then nothing is left. Not there = nothing to do. */
export async function removePodSandbox(
  { logger, network, pods, toolstack }: NodeContext,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const sandbox = pods.findSandbox(id);
  if (sandbox === undefined) return;
  using _lock = await sandbox.lock.acquire(`the removal of sandbox ${sandbox.id}`, signal);
  if (!pods.all().includes(sandbox)) return;
  sandbox.update({ removing: true });
  await endSandbox(sandbox, logger, signal);
  // One whose VM could not be adopted after a restart may have become adoptable, or is gone.
  const vm = sandbox.vm ?? (await toolstack.adopt(sandbox.vmSpec, signal));
  await vm?.destroy();
  await network.detach(sandbox.id);
  pods.removeSandbox(sandbox);
}
