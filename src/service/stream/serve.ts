// SPDX-License-Identifier: Apache-2.0
import { createWebSocketStream } from "ws";
import { describeError } from "../../shared/errors.ts";
import type { Logger } from "../../shared/logger.ts";
import type { AcceptedStream } from "./accept.ts";
import { forwardOverSpdy } from "./forwarding/spdy-forwarding.ts";
import { forwardOverWebSocket } from "./forwarding/websocket-forwarding.ts";
import { forwardTransport } from "./negotiation.ts";
import type { RemoteCommandSession } from "./remote-command/session.ts";
import { openSpdySession } from "./remote-command/spdy-session.ts";
import { openWebSocketSession } from "./remote-command/websocket-session.ts";
import type { CommandTicket, ForwardTicket, StreamTicket } from "./stream-tickets.ts";

/** Gives a client what its ticket is for. Resolves when that is over, with how it ended. */
export async function serveStream(
  accepted: AcceptedStream,
  ticket: StreamTicket,
  logger: Logger,
): Promise<string> {
  if (ticket.kind !== "portforward") return await serveCommand(accepted, ticket, logger);
  await serveForwarding(accepted, ticket, logger);
  return "closed";
}

async function serveCommand(
  accepted: AcceptedStream,
  { run, wanted }: CommandTicket,
  logger: Logger,
): Promise<string> {
  const { version } = accepted;
  const session: RemoteCommandSession =
    accepted.transport === "spdy"
      ? await openSpdySession(accepted, version, wanted)
      : openWebSocketSession(accepted.webSocket, version, wanted);
  try {
    const status = await run(session);
    session.finish(status);
    return status.kind;
  } catch (error) {
    if (session.gone.aborted) return "the client has left";
    logger.warn({ error }, "a command could not be streamed");
    session.finish({ kind: "failed", message: describeError(error) });
    return "failed";
  }
}

async function serveForwarding(
  accepted: AcceptedStream,
  ticket: ForwardTicket,
  logger: Logger,
): Promise<void> {
  if (accepted.transport === "spdy") {
    await forwardOverSpdy(accepted, ticket, logger);
  } else if (forwardTransport(accepted.protocol) === "tunnel") {
    const socket = createWebSocketStream(accepted.webSocket);
    await forwardOverSpdy({ socket, head: Buffer.alloc(0) }, ticket, logger);
  } else {
    await forwardOverWebSocket(accepted.webSocket, ticket, logger);
  }
}
