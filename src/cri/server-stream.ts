// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import type { handleServerStreamingCall } from "@grpc/grpc-js";
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import { toStatus } from "./unary.ts";

/**
 * Makes a gRPC handler, for a verb that answers with many messages, of a function that makes them
 * one after the other. The next one is asked for when the client has taken the one before.
 */
export function serverStream<Request, Response>(
  verb: string,
  parent: Logger,
  produce: (request: Request, signal: AbortSignal) => AsyncIterable<Response>,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const logger = parent.child({ verb });
    const controller = new AbortController();
    const { signal } = controller;
    call.on("cancelled", () => controller.abort(new LightvmError("cancelled", "by the client")));
    const run = async () => {
      for await (const message of produce(call.request, signal)) {
        if (!call.write(message)) await once(call, "drain", { signal });
      }
      call.end();
    };
    run().catch((error: unknown) => {
      // Nobody is there to be told.
      if (signal.aborted) return;
      logger.warn({ error }, "call failed");
      const status = toStatus(error);
      call.destroy(Object.assign(new Error(status.details), status));
    });
  };
}

/** Items of one message: small enough for any message, large enough to be worth one. */
const CHUNK = 100;

/** Cuts a list into messages; none for an empty list. */
export async function* chunks<Item, Message>(
  items: readonly Item[],
  message: (chunk: Item[]) => Message,
): AsyncGenerator<Message> {
  for (let at = 0; at < items.length; at += CHUNK) yield message(items.slice(at, at + CHUNK));
}
