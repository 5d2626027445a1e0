// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { credentials } from "@grpc/grpc-js";
import {
  ImageServiceClient,
  RuntimeServiceClient,
} from "../../cri-proto/generated/runtime/v1/api.ts";
import { benchConfig } from "./node-life.ts";

/** The two clients that a kubelet has, and where its pods shall log. */
export interface CriEndpoint {
  readonly runtime: RuntimeServiceClient;
  readonly image: ImageServiceClient;
  readonly logDirectory: string;
  close(): void;
}

/** Connects to the lightvmd of a bench, also to one that is yet to come. */
export function connectCri(root: string): CriEndpoint {
  return connectCriTo(`unix:${benchConfig(root).socket}`, join(root, "logs"));
}

/** Connects to a lightvmd by its gRPC address. */
export function connectCriTo(address: string, logDirectory: string): CriEndpoint {
  const runtime = new RuntimeServiceClient(address, credentials.createInsecure(), {
    "grpc.max_receive_message_length": 16 * 1024 * 1024,
    "grpc.initial_reconnect_backoff_ms": 50,
    "grpc.max_reconnect_backoff_ms": 100,
  });
  const image = new ImageServiceClient(address, credentials.createInsecure());
  const close = () => {
    runtime.close();
    image.close();
  };
  return { runtime, image, logDirectory, close };
}
