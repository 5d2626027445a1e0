// SPDX-License-Identifier: Apache-2.0
import type { NodeContext } from "../node-context.ts";
import { endSandbox } from "./end.ts";

/**
 * StopPodSandbox: ends the VM and with it every process, and takes the pod out of its network.
 * Nothing there = nothing to do.
 */
export async function stopPodSandbox(
  { logger, network, pods }: NodeContext,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const sandbox = pods.findSandbox(id);
  if (sandbox === undefined) return;
  await endSandbox(sandbox, logger, signal);
  await network.detach(sandbox.id);
}
