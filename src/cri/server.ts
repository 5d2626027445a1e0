// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { chmodSync, mkdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import {
  ImageServiceService,
  RuntimeServiceService,
} from "../../cri-proto/generated/runtime/v1/api.ts";
import type { NodeContext } from "../service/node-context.ts";
import { LightvmError } from "../shared/errors.ts";
import { waitFor } from "../shared/wait.ts";
import { imageService } from "./image-service.ts";
import { measured } from "./measure.ts";
import { runtimeService } from "./runtime-service.ts";

/** Kubelet's own limit of a message in both directions. */
const MAX_MESSAGE_BYTES = 16 * 1024 * 1024;
/** How long whoever holds the socket may take to accept a connection. */
const PROBE_MS = 2000;
/** How long calls may go on after the server was told to close. */
const CLOSE_MS = 5000;

/** The CRI on a UNIX socket that only root can open. Methods that we do not have: UNIMPLEMENTED. */
export class CriServer {
  readonly #server: Server;
  readonly #socket: string;

  private constructor(server: Server, socket: string) {
    this.#server = server;
    this.#socket = socket;
  }

  /** Serves. Throws "failed-precondition" when somebody else serves on that socket already. */
  static async listen(context: NodeContext, socket: string): Promise<CriServer> {
    mkdirSync(dirname(socket), { recursive: true, mode: 0o711 });
    await removeStaleSocket(socket);
    const server = new Server({
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    });
    const { metrics } = context;
    for (const [definition, service] of [
      [RuntimeServiceService, runtimeService(context)],
      [ImageServiceService, imageService(context)],
    ] as const) {
      server.addService(definition, measured(definition, service, metrics));
    }
    await bind(server, socket);
    return new CriServer(server, socket);
  }

  /** Takes no more calls, lets running ones end for a while, then cuts them off. */
  async close(): Promise<void> {
    const { promise: closed, resolve } = Promise.withResolvers<void>();
    this.#server.tryShutdown(() => resolve());
    try {
      await waitFor(closed, "the end of running calls", { timeoutMs: CLOSE_MS });
    } catch {
      this.#server.forceShutdown();
    }
    rmSync(this.#socket, { force: true });
  }
}

async function bind(server: Server, socket: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  // The socket must never be open to others, not even until the chmod.
  const before = process.umask(0o177);
  try {
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
    await promise;
    chmodSync(socket, 0o600);
  } catch (cause) {
    throw new LightvmError("unavailable", `cannot serve on ${socket}`, { cause });
  } finally {
    process.umask(before);
  }
}

/** A socket that nobody listens on is what a killed lightvmd has left. */
async function removeStaleSocket(socket: string): Promise<void> {
  const probe = connect(socket);
  try {
    await waitFor(once(probe, "connect"), `a connection to ${socket}`, { timeoutMs: PROBE_MS });
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return;
    if (code === "ECONNREFUSED") {
      rmSync(socket, { force: true });
      return;
    }
    throw new LightvmError("failed-precondition", `cannot use ${socket}`, { cause: error });
  } finally {
    probe.destroy();
  }
  throw new LightvmError("failed-precondition", `another lightvmd serves on ${socket} already`);
}
