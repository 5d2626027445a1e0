// SPDX-License-Identifier: Apache-2.0
import type { WebSocket } from "ws";
import { describeError } from "../../../shared/errors.ts";
import type { Logger } from "../../../shared/logger.ts";
import type { ForwardTicket } from "../stream-tickets.ts";
import { Channels } from "../websocket/channels.ts";
import { carryBothWays } from "./carry.ts";

/**
 * Port forwarding over WebSocket channels: of each port, in the order in which they were asked for, one
 * channel with its bytes and one with what went wrong. The first message on each of them is the port's
 * number, two bytes, the lower first. Resolves when the connection is over.
 */
export async function forwardOverWebSocket(
  socket: WebSocket,
  { connect, ports }: Pick<ForwardTicket, "connect" | "ports">,
  logger: Logger,
): Promise<void> {
  const channels = new Channels(socket, { closable: false });
  const forward = async (port: number, index: number) => {
    const data = channels.writer(2 * index);
    const error = channels.writer(2 * index + 1);
    const input = channels.reader(2 * index);
    const number = Buffer.of(port & 0xff, port >>> 8);
    data.write(number);
    error.write(number);
    try {
      const pod = await connect(port, channels.gone);
      await carryBothWays({ input, output: data }, pod);
    } catch (cause) {
      logger.debug({ error: cause, port }, "a forwarded connection has failed");
      error.write(describeError(cause));
    }
  };
  await Promise.all(ports.map(forward));
  channels.close();
}
