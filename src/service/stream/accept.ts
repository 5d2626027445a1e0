// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { type WebSocket, WebSocketServer } from "ws";
import { LightvmError } from "../../shared/errors.ts";
import {
  type Agreed,
  agreeOverSpdy,
  agreeOverWebSocket,
  listed,
  spdyProtocols,
} from "./negotiation.ts";

/** A request for an upgrade, as the HTTP server hands it over. */
export interface Upgrade {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  /** What the client has sent after its request. */
  readonly head: Buffer;
}

/** A client that has been upgraded, and the protocol that both speak. */
export type AcceptedStream =
  | (Agreed & { readonly transport: "spdy"; readonly socket: Duplex; readonly head: Buffer })
  | (Agreed & { readonly transport: "websocket"; readonly webSocket: WebSocket });

export interface RefusedStream {
  /** HTTP status. */
  readonly refused: number;
  readonly headers: Readonly<Record<string, string>>;
}

const PROTOCOL_HEADER = "X-Stream-Protocol-Version";
const ACCEPTED_HEADER = "X-Accepted-Stream-Protocol-Versions";
/** Of one WebSocket message; client-go's have 32 KiB. */
const MAX_MESSAGE_BYTES = 1024 * 1024;

const webSockets = new WebSocketServer({
  noServer: true,
  clientTracking: false,
  perMessageDeflate: false,
  maxPayload: MAX_MESSAGE_BYTES,
});

/** What each handshake has agreed on. ws itself refuses the slash in the name of the tunnel's protocol. */
const agreedProtocols = new WeakMap<IncomingMessage, string>();
webSockets.on("headers", (headers, request) => {
  headers.push(`Sec-WebSocket-Protocol: ${agreedProtocols.get(request)}`);
});

/** Agrees on a protocol and switches to it, or says why not. */
export async function acceptStream(
  upgrade: Upgrade,
  kind: string,
): Promise<AcceptedStream | RefusedStream> {
  const wanted = listed(upgrade.request.headersDistinct["upgrade"]).map((name) =>
    name.toLowerCase(),
  );
  if (wanted.includes("spdy/3.1")) return acceptSpdy(upgrade, kind);
  if (wanted.includes("websocket")) return await acceptWebSocket(upgrade, kind);
  return { refused: 400, headers: {} };
}

function acceptSpdy(
  { request, socket, head }: Upgrade,
  kind: string,
): AcceptedStream | RefusedStream {
  const offered = listed(request.headersDistinct[PROTOCOL_HEADER.toLowerCase()]);
  const agreed = agreeOverSpdy(kind, offered);
  if (agreed === undefined) {
    return { refused: 403, headers: { [ACCEPTED_HEADER]: spdyProtocols(kind).join(", ") } };
  }
  const lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: SPDY/3.1"];
  if (agreed.protocol !== "") lines.push(`${PROTOCOL_HEADER}: ${agreed.protocol}`);
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  return { ...agreed, transport: "spdy", socket, head };
}

async function acceptWebSocket(
  { request, socket, head }: Upgrade,
  kind: string,
): Promise<AcceptedStream | RefusedStream> {
  const header = "sec-websocket-protocol";
  const agreed = agreeOverWebSocket(kind, listed(request.headersDistinct[header]));
  if (agreed === undefined) return { refused: 403, headers: {} };
  agreedProtocols.set(request, agreed.protocol);
  delete request.headers[header];
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>();
  socket.on("close", () => reject(new LightvmError("cancelled", "the client has left")));
  // An answer of its own, and the end, to a handshake that is none.
  webSockets.handleUpgrade(request, socket, head, resolve);
  return { ...agreed, transport: "websocket", webSocket: await promise };
}
