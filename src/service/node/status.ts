// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../../shared/errors.ts";
import type { Toolstack } from "../../toolstack/toolstack.ts";
import type { NodeContext } from "../node-context.ts";
import { runtimeVersion } from "./version.ts";

/** One aspect of the node's health. */
export interface Condition {
  readonly type: "RuntimeReady" | "NetworkReady";
  readonly status: boolean;
  /** One CamelCase word; "" when all is well. */
  readonly reason: string;
  readonly message: string;
}

/** Status: asked of the hypervisor, and of the disk for the network, at each call. */
export function runtimeConditions(context: NodeContext): Condition[] {
  return [runtimeReady(context), networkReady(context)];
}

/** What only we know of the node, for people who look for a fault. */
export function runtimeDetails({ config, pods, toolstack }: NodeContext): object {
  return {
    ...runtimeVersion(),
    xen: xenDetails(toolstack),
    sandboxes: pods.sandboxes().length,
    containers: pods.containers().length,
    vm: config.vm,
    pool: toolstack.pool(),
  };
}

/** Or why there is nothing to tell: the rest is of use then, too. */
function xenDetails(toolstack: Toolstack): object {
  try {
    const { xenVersion, freeMemoryBytes, totalMemoryBytes } = toolstack.host();
    return {
      version: xenVersion,
      freeMemoryBytes: Number(freeMemoryBytes),
      totalMemoryBytes: Number(totalMemoryBytes),
    };
  } catch (error) {
    return { obstacle: describeError(error) };
  }
}

/** The reason is the one that kubelet's users know from other runtimes. */
function networkReady({ network }: NodeContext): Condition {
  const message = network.obstacle();
  return message === undefined
    ? { type: "NetworkReady", status: true, reason: "", message: "" }
    : { type: "NetworkReady", status: false, reason: "NetworkPluginNotReady", message };
}

function runtimeReady({ checkNode, toolstack }: NodeContext): Condition {
  try {
    toolstack.host();
    checkNode();
    return { type: "RuntimeReady", status: true, reason: "", message: "" };
  } catch (error) {
    const message = describeError(error);
    return { type: "RuntimeReady", status: false, reason: "NodeCannotRunPods", message };
  }
}
