// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { describeError, LightvmError } from "./shared/errors.ts";
import type { Logger } from "./shared/logger.ts";
import type { NodeMetrics } from "./shared/metrics.ts";

/** Where metrics are served: "127.0.0.1:9100", "[::1]:9100". */
export interface MetricsAddress {
  readonly host: string;
  readonly port: number;
}

/**
 * Serves `GET /metrics` for Prometheus, to whoever reaches the address. Disposing ends it.
 * Throws "unavailable" when the address is taken.
 */
export async function serveMetrics(
  { host, port }: MetricsAddress,
  metrics: NodeMetrics,
  logger: Logger,
): Promise<AsyncDisposable & { readonly port: number }> {
  const server = createServer((request, response) => {
    answer(request, response, metrics).catch((error: unknown) => {
      logger.warn({ error: describeError(error) }, "metrics could not be collected");
      response.writeHead(500).end();
    });
  });
  try {
    server.listen({ host, port });
    await once(server, "listening");
  } catch (cause) {
    throw new LightvmError("unavailable", `cannot serve metrics on ${host}:${port}`, { cause });
  }
  const bound = server.address();
  return {
    port: bound === null || typeof bound === "string" ? port : bound.port,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

async function answer(
  { method, url }: IncomingMessage,
  response: ServerResponse,
  { registry }: NodeMetrics,
): Promise<void> {
  if (url?.split("?")[0] !== "/metrics") {
    response.writeHead(404).end("metrics are at /metrics\n");
  } else if (method !== "GET" && method !== "HEAD") {
    response.writeHead(405, { allow: "GET, HEAD" }).end();
  } else {
    const text = await registry.metrics();
    response.writeHead(200, { "content-type": registry.contentType });
    response.end(method === "HEAD" ? undefined : text);
  }
}
