// SPDX-License-Identifier: Apache-2.0
import type { NodeContext } from "../node-context.ts";

/**
 * UpdateRuntimeConfig: the address ranges that the cluster has given to this node's pods, separated
 * by commas. They are kept over restarts and given to every plugin of the node's network that has
 * the capability "ipRanges" (host-local has it); pods that run already keep their addresses.
 */
export function updateRuntimeConfig({ network }: NodeContext, podCidr: string): void {
  if (podCidr !== "") network.setPodCidr(podCidr);
}
