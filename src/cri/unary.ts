// SPDX-License-Identifier: Apache-2.0
import { type handleUnaryCall, type ServiceError, status } from "@grpc/grpc-js";
import { describeError, type ErrorCode, firstError, LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";

const STATUS: Record<ErrorCode, status> = {
  "invalid-argument": status.INVALID_ARGUMENT,
  "not-found": status.NOT_FOUND,
  "already-exists": status.ALREADY_EXISTS,
  "failed-precondition": status.FAILED_PRECONDITION,
  "resource-exhausted": status.RESOURCE_EXHAUSTED,
  unauthenticated: status.UNAUTHENTICATED,
  unavailable: status.UNAVAILABLE,
  "deadline-exceeded": status.DEADLINE_EXCEEDED,
  cancelled: status.CANCELLED,
  "data-loss": status.DATA_LOSS,
  unimplemented: status.UNIMPLEMENTED,
  internal: status.INTERNAL,
};

/** HTTP/2 headers carry the message; a longer one would cost the client the whole answer. */
const MAX_MESSAGE_LENGTH = 4096;

/** Calls that kubelet makes all the time: not worth a line each. */
export type Chatter = "quiet" | "logged";

/**
 * Makes a gRPC handler of a function. The only place where an error becomes a status, where calls
 * are logged, and where a client that gives up becomes an aborted signal.
 */
export function unary<Request, Response>(
  verb: string,
  chatter: Chatter,
  parent: Logger,
  handle: (request: Request, signal: AbortSignal) => Promise<Response> | Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const logger = parent.child({ verb, ...subjectOf(call.request) });
    const started = performance.now();
    const milliseconds = () => Math.round(performance.now() - started);
    const controller = new AbortController();
    logger.debug("call begins");
    call.on("cancelled", () => controller.abort(new LightvmError("cancelled", "by the client")));
    const run = async () => await handle(call.request, controller.signal);
    run().then(
      (response) => {
        const level = chatter === "quiet" ? "debug" : "info";
        logger[level]({ milliseconds: milliseconds() }, "call answered");
        callback(null, response);
      },
      (error: unknown) => {
        logger.warn({ milliseconds: milliseconds(), error }, "call failed");
        callback(toStatus(error));
      },
    );
  };
}

/** What a request is about, for the log: ids and image names, never credentials. */
function subjectOf(request: unknown): Record<string, unknown> {
  const { containerId, image, podSandboxId } = request as Record<string, unknown>;
  return {
    ...(typeof podSandboxId === "string" ? { pod: podSandboxId } : {}),
    ...(typeof containerId === "string" ? { container: containerId } : {}),
    ...(typeof image === "object" ? { image: (image as { image?: unknown } | null)?.image } : {}),
  };
}

/** The status and the whole chain of messages, which is printed once: here. */
export function toStatus(error: unknown): Pick<ServiceError, "code" | "details"> {
  const first = firstError(error);
  const code = first instanceof LightvmError ? STATUS[first.code] : status.INTERNAL;
  return { code, details: describeError(error).slice(0, MAX_MESSAGE_LENGTH) };
}
