// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import type { NodeContext } from "../node-context.ts";

export interface PortForwardRequest {
  readonly sandboxId: string;
  /** The ports of which a WebSocket client has a channel each; SPDY names them with its streams. */
  readonly ports: readonly number[];
}

/** PortForward: a URL under which one client can connect to ports of the pod. */
export function portForward({ pods, streaming }: NodeContext, request: PortForwardRequest): string {
  const sandbox = pods.getSandbox(request.sandboxId);
  sandbox.requireVm();
  return streaming.offer({
    kind: "portforward",
    ports: request.ports,
    connect: (port, signal) => connectToPod(pods, sandbox.id, port, signal),
  });
}

/** A connection to a port of the pod's loopback. Throws what the guest says when nobody listens. */
async function connectToPod(
  pods: NodeContext["pods"],
  sandboxId: string,
  port: number,
  signal: AbortSignal,
): Promise<Duplex> {
  const vm = pods.getSandbox(sandboxId).requireVm();
  const forwardId = randomBytes(16).toString("hex");
  const connection = await vm.openForward(forwardId, signal);
  connection.on("error", () => undefined);
  try {
    await vm.call({ $case: "portForward", value: { forwardId, port } }, { signal });
  } catch (error) {
    connection.destroy();
    throw error;
  }
  return connection;
}
