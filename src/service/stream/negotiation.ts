// SPDX-License-Identifier: Apache-2.0

/** Channel protocols of exec and attach, the best first, with their versions. */
const COMMAND_PROTOCOLS: Readonly<Record<string, number>> = {
  "v4.channel.k8s.io": 4,
  "v3.channel.k8s.io": 3,
  "v2.channel.k8s.io": 2,
  "channel.k8s.io": 1,
};
/** The same over WebSocket: five can end a channel, four cannot. */
const WEBSOCKET_COMMAND_PROTOCOLS: Readonly<Record<string, number>> = {
  "v5.channel.k8s.io": 5,
  "v4.channel.k8s.io": 4,
};
const FORWARD_PROTOCOL = "portforward.k8s.io";
/** Port forwarding over WebSocket: SPDY within its messages, or two channels for each port. */
const TUNNELLED_FORWARD_PROTOCOL = `SPDY/3.1+${FORWARD_PROTOCOL}`;
const CHANNEL_FORWARD_PROTOCOL = "v4.channel.k8s.io";

/** A protocol that both sides speak. */
export interface Agreed {
  /** As the client offered it. */
  readonly protocol: string;
  readonly version: number;
}

/** What we speak over SPDY, for a client that offers none of it. */
export function spdyProtocols(kind: string): string[] {
  return kind === "portforward" ? [FORWARD_PROTOCOL] : Object.keys(COMMAND_PROTOCOLS);
}

/** Our choice of what a SPDY client offers. One that offers nothing speaks the first version. */
export function agreeOverSpdy(kind: string, offered: readonly string[]): Agreed | undefined {
  if (offered.length === 0) return { protocol: "", version: 1 };
  if (kind === "portforward") {
    return offered.includes(FORWARD_PROTOCOL)
      ? { protocol: FORWARD_PROTOCOL, version: 1 }
      : undefined;
  }
  return best(COMMAND_PROTOCOLS, offered);
}

/** How a port is forwarded over WebSocket. */
export type ForwardTransport = "tunnel" | "channels";

/** Our choice of what a WebSocket client offers. */
export function agreeOverWebSocket(kind: string, offered: readonly string[]): Agreed | undefined {
  if (kind !== "portforward") return best(WEBSOCKET_COMMAND_PROTOCOLS, offered);
  const protocols = [TUNNELLED_FORWARD_PROTOCOL, CHANNEL_FORWARD_PROTOCOL];
  const protocol = protocols.find((ours) => offered.includes(ours));
  return protocol === undefined ? undefined : { protocol, version: 4 };
}

export function forwardTransport(protocol: string): ForwardTransport {
  return protocol === TUNNELLED_FORWARD_PROTOCOL ? "tunnel" : "channels";
}

/** The members of header lists such as "v4.channel.k8s.io, v3.channel.k8s.io". */
export function listed(headers: readonly string[] | undefined): string[] {
  const members = (headers ?? []).flatMap((header) => header.split(","));
  return members.map((member) => member.trim()).filter((member) => member !== "");
}

function best(
  ours: Readonly<Record<string, number>>,
  offered: readonly string[],
): Agreed | undefined {
  for (const [protocol, version] of Object.entries(ours)) {
    if (offered.includes(protocol)) return { protocol, version };
  }
  return undefined;
}
