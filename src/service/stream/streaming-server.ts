// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, STATUS_CODES } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { type AddressInfo, isIPv6 } from "node:net";
import type { Duplex } from "node:stream";
import type { Config } from "../../shared/config.ts";
import { LightvmError } from "../../shared/errors.ts";
import type { Logger } from "../../shared/logger.ts";
import { type AcceptedStream, acceptStream, type Upgrade } from "./accept.ts";
import { serveStream } from "./serve.ts";
import { type StreamTicket, StreamTickets } from "./stream-tickets.ts";

/** Connections at once, also those that have not been upgraded. */
const MAX_CONNECTIONS = 2048;
/** From the first byte of a request to its last. */
const REQUEST_MS = 10_000;
/** A stream on which nothing moves for so long is ended, as other runtimes do. */
const IDLE_MS = 4 * 60 * 60 * 1000;

/**
 * The HTTP server that exec, attach and port-forward are streamed through. A request names the ticket
 * that a verb has issued and asks for an upgrade, to SPDY/3.1 or to WebSocket; nothing else is served.
 */
export class StreamingServer implements AsyncDisposable {
  readonly #server: Server;
  readonly #logger: Logger;
  readonly #tickets = new StreamTickets();
  readonly #sockets = new Set<Duplex>();
  readonly #scheme: "http" | "https";
  #base = "";

  private constructor(config: Config["streaming"], logger: Logger) {
    this.#logger = logger;
    this.#scheme = config.tls === undefined ? "http" : "https";
    const options = { requestTimeout: REQUEST_MS, headersTimeout: REQUEST_MS };
    this.#server =
      config.tls === undefined
        ? createServer(options)
        : createTlsServer({ ...options, ...tlsOptions(config.tls) });
    this.#server.maxConnections = MAX_CONNECTIONS;
    this.#server.on("request", (_request, response) => {
      response.writeHead(400).end("streams are for clients that ask for an upgrade\n");
    });
    this.#server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      void this.#upgrade({ request, socket, head });
    });
  }

  /** Serves. Throws "unavailable" when it can't on the configured address. */
  static async listen(config: Config["streaming"], logger: Logger): Promise<StreamingServer> {
    const { address, port } = config;
    const streaming = new StreamingServer(config, logger);
    try {
      const listening = once(streaming.#server, "listening");
      streaming.#server.listen({ host: address, port });
      await listening;
    } catch (cause) {
      throw new LightvmError("unavailable", `cannot stream on ${address}, port ${port}`, { cause });
    }
    const bound = streaming.#server.address() as AddressInfo;
    const host = isIPv6(address) ? `[${address}]` : address;
    streaming.#base = `${streaming.#scheme}://${host}:${bound.port}`;
    return streaming;
  }

  /** Where one client can have what the ticket is for, once and soon. */
  offer(ticket: StreamTicket): string {
    return `${this.#base}/${ticket.kind}/${this.#tickets.issue(ticket)}`;
  }

  /** Breaks every stream off and takes no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    this.#server.close(() => resolve());
    this.#server.closeAllConnections();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #upgrade(upgrade: Upgrade): Promise<void> {
    const { request, socket } = upgrade;
    this.#sockets.add(socket);
    socket.on("close", () => this.#sockets.delete(socket));
    socket.on("error", () => undefined);
    if ("setTimeout" in socket && typeof socket.setTimeout === "function") {
      socket.setTimeout(IDLE_MS, () => socket.destroy());
    }
    const [, kind = "", token = "", ...rest] = (request.url ?? "").split("?")[0]?.split("/") ?? [];
    const ticket = rest.length === 0 ? this.#tickets.redeem(kind, token) : undefined;
    if (ticket === undefined) {
      refuse(socket, 404);
      return;
    }
    const logger = this.#logger.child({ stream: ticket.kind });
    try {
      const accepted = await acceptStream(upgrade, ticket.kind);
      if ("refused" in accepted) refuse(socket, accepted.refused, accepted.headers);
      else await this.#serve(accepted, ticket, logger);
    } catch (error) {
      logger.warn({ error }, "a stream has failed");
      socket.destroy();
    }
  }

  async #serve(accepted: AcceptedStream, ticket: StreamTicket, logger: Logger): Promise<void> {
    const began = performance.now();
    logger.debug({ protocol: accepted.protocol }, "a stream begins");
    const outcome = await serveStream(accepted, ticket, logger);
    const milliseconds = Math.round(performance.now() - began);
    logger.debug({ milliseconds, outcome }, "a stream has ended");
  }
}

function tlsOptions(tls: NonNullable<Config["streaming"]["tls"]>): object {
  const read = (path: string) => {
    try {
      return readFileSync(path);
    } catch (cause) {
      throw new LightvmError("not-found", `cannot read ${path} for streaming`, { cause });
    }
  };
  const authority = tls.client_ca_file === undefined ? undefined : read(tls.client_ca_file);
  return {
    cert: read(tls.certificate_file),
    key: read(tls.key_file),
    ...(authority && { ca: authority, requestCert: true, rejectUnauthorized: true }),
    minVersion: "TLSv1.2",
  };
}

/** Answers a request for an upgrade that there is none of. */
function refuse(
  socket: Duplex,
  status: number,
  headers: Readonly<Record<string, string>> = {},
): void {
  const lines = Object.entries({ ...headers, Connection: "close", "Content-Length": "0" });
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
    ...lines.map((line) => line.join(": ")),
  ];
  socket.end(`${head.join("\r\n")}\r\n\r\n`, () => socket.destroy());
}
