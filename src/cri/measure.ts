// SPDX-License-Identifier: Apache-2.0
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServiceDefinition,
  type ServiceError,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { NodeMetrics } from "../shared/metrics.ts";

/**
 * The same service with each call of its definition measured, those included that it does not have:
 * they are answered UNIMPLEMENTED. Every verb is known to Prometheus before it is called: a rate of
 * something that was not there is none. The only place where calls are counted.
 */
export function measured(
  definition: ServiceDefinition,
  service: UntypedServiceImplementation,
  metrics: NodeMetrics,
): UntypedServiceImplementation {
  const entries = Object.entries(definition).map(([method, { path, responseStream }]) => {
    const verb = method.charAt(0).toUpperCase() + method.slice(1);
    metrics.calls.zero({ verb, code: "OK" });
    const handler = service[method] ?? missing(path);
    const wrapped = responseStream
      ? measuredStream(verb, handler as handleServerStreamingCall<unknown, unknown>, metrics)
      : measuredUnary(verb, handler as handleUnaryCall<unknown, unknown>, metrics);
    return [method, wrapped as UntypedHandleCall] as const;
  });
  return Object.fromEntries(entries);
}

/** As grpc-js answers it. */
function missing(path: string): handleUnaryCall<unknown, unknown> {
  const details = `The server does not implement the method ${path}`;
  return (_call, callback) => callback({ code: status.UNIMPLEMENTED, details });
}

function measuredUnary(
  verb: string,
  handle: handleUnaryCall<unknown, unknown>,
  metrics: NodeMetrics,
): handleUnaryCall<unknown, unknown> {
  return (call, callback) => {
    const stop = metrics.calls.startTimer({ verb });
    const measuring: sendUnaryData<unknown> = (error, ...rest) => {
      stop({ code: nameOf(error?.code ?? status.OK) });
      callback(error, ...rest);
    };
    handle(call, measuring);
  };
}

/** Measured until the last message is sent; that is also when a client stops listening to events. */
function measuredStream(
  verb: string,
  handle: handleServerStreamingCall<unknown, unknown>,
  metrics: NodeMetrics,
): handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    const stop = metrics.calls.startTimer({ verb });
    let code = status.OK;
    metrics.streams.inc({ verb });
    call.once("cancelled", () => {
      code = status.CANCELLED;
    });
    call.once("error", (error: Partial<ServiceError>) => {
      code = error.code ?? status.UNKNOWN;
    });
    call.once("close", () => {
      stop({ code: nameOf(code) });
      metrics.streams.dec({ verb });
    });
    handle(call);
  };
}

function nameOf(code: status): string {
  return status[code] ?? "UNKNOWN";
}
