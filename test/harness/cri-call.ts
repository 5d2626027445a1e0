// SPDX-License-Identifier: Apache-2.0
import { type CallOptions, Metadata, type ServiceError } from "@grpc/grpc-js";

/** Calls a unary method and waits for its answer; rejects with the ServiceError. */
export function call<Request, Response>(
  client: object,
  method: (
    this: never,
    request: Request,
    metadata: Metadata,
    options: Partial<CallOptions>,
    callback: (error: ServiceError | null, response: Response) => void,
  ) => unknown,
  request: Request,
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const metadata = new Metadata({ waitForReady: true });
  method.call(client as never, request, metadata, {}, (error, response) =>
    error === null ? resolve(response) : reject(error),
  );
  return promise;
}
