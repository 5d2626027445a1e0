// SPDX-License-Identifier: Apache-2.0
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
  type UntypedServiceImplementation,
} from "@grpc/grpc-js";
import type { NodeMetrics } from "../shared/metrics.ts";

/** The same service with each of its calls measured. The only place where calls are counted. */
export function measured<Service extends UntypedServiceImplementation>(
  service: Service,
  metrics: NodeMetrics,
): Service {
  const entries = Object.entries(service).map(([method, handler]) => {
    const verb = method.charAt(0).toUpperCase() + method.slice(1);
    // grpc-js calls unary handlers with (call, callback), streaming ones with (call).
    const wrapped =
      handler.length === 2
        ? measuredUnary(verb, handler as handleUnaryCall<unknown, unknown>, metrics)
        : countedStream(verb, handler as handleServerStreamingCall<unknown, unknown>, metrics);
    return [method, wrapped as UntypedHandleCall] as const;
  });
  return Object.fromEntries(entries) as unknown as Service;
}

function measuredUnary(
  verb: string,
  handle: handleUnaryCall<unknown, unknown>,
  metrics: NodeMetrics,
): handleUnaryCall<unknown, unknown> {
  return (call, callback) => {
    const stop = metrics.calls.startTimer({ verb });
    const measuring: sendUnaryData<unknown> = (error, ...rest) => {
      stop({ code: status[error?.code ?? status.OK] ?? "UNKNOWN" });
      callback(error, ...rest);
    };
    handle(call, measuring);
  };
}

function countedStream(
  verb: string,
  handle: handleServerStreamingCall<unknown, unknown>,
  metrics: NodeMetrics,
): handleServerStreamingCall<unknown, unknown> {
  return (call) => {
    metrics.streams.inc({ verb });
    call.once("close", () => metrics.streams.dec({ verb }));
    handle(call);
  };
}
