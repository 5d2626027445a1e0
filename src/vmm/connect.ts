// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { ClientHello } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { LightvmError } from "../shared/errors.ts";
import { type WaitOptions, waitFor } from "../shared/wait.ts";
import { encodeFrame } from "./framing.ts";

/** The first message of every connection, framed. */
export function encodeHello(hello: Pick<ClientHello, "purpose"> & Partial<ClientHello>): Buffer {
  const message: ClientHello = {
    stream: undefined,
    fileTokens: [],
    endsStdin: false,
    ...hello,
  };
  return encodeFrame(ClientHello.encode(message).finish());
}

/**
 * Connects to a VMM's socket and says hello. The caller owns the socket, half-open allowed.
 * Throws "unavailable" when nobody listens.
 */
export async function connectToVmm(
  socketPath: string,
  hello: Buffer,
  options: WaitOptions,
): Promise<Socket> {
  const socket = connect({ path: socketPath, allowHalfOpen: true });
  try {
    await waitFor(once(socket, "connect"), "connecting to the VMM", options);
  } catch (cause) {
    socket.destroy();
    if (cause instanceof LightvmError) throw cause;
    throw new LightvmError("unavailable", `no VMM answers on ${socketPath}`, { cause });
  }
  socket.write(hello);
  return socket;
}
