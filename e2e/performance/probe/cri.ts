// SPDX-License-Identifier: Apache-2.0
import { credentials } from "@grpc/grpc-js";
import {
  ImageServiceClient,
  RuntimeServiceClient,
} from "../../../cri-proto/generated/runtime/v1/api.ts";

/** A runtime, whichever it is, as kubelet sees it. */
export class Cri {
  readonly runtime: RuntimeServiceClient;
  readonly image: ImageServiceClient;

  constructor(socket: string) {
    const options = { "grpc.max_receive_message_length": 16 * 1024 * 1024 };
    const [address, plain] = [`unix:${socket}`, credentials.createInsecure()];
    this.runtime = new RuntimeServiceClient(address, plain, options);
    this.image = new ImageServiceClient(address, plain, options);
  }

  close(): void {
    this.runtime.close();
    this.image.close();
  }
}

/** Runs `work` and gives its result with the milliseconds that it took. */
export async function timed<T>(work: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const started = performance.now();
  const result = await work();
  return { result, ms: performance.now() - started };
}
