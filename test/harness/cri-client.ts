// SPDX-License-Identifier: Apache-2.0

import { CheckpointContainerRequest } from "../../cri-proto/generated/runtime/v1/checkpoint.ts";
import {
  type Container,
  ContainerConfig,
  type ContainerStatus,
} from "../../cri-proto/generated/runtime/v1/container.ts";
import {
  ContainerStatusRequest,
  ListContainersRequest,
} from "../../cri-proto/generated/runtime/v1/container_calls.ts";
import {
  type AuthConfig,
  type Image,
  ImageStatusRequest,
  ListImagesRequest,
  PullImageRequest,
  RemoveImageRequest,
} from "../../cri-proto/generated/runtime/v1/image.ts";
import type { StatusResponse, VersionResponse } from "../../cri-proto/generated/runtime/v1/node.ts";
import {
  type PodSandbox,
  PodSandboxConfig,
  type PodSandboxStatus,
} from "../../cri-proto/generated/runtime/v1/sandbox.ts";
import {
  ListPodSandboxRequest,
  PodSandboxStatusRequest,
} from "../../cri-proto/generated/runtime/v1/sandbox_calls.ts";
import {
  AttachRequest,
  ExecRequest,
  type ExecSyncResponse,
} from "../../cri-proto/generated/runtime/v1/stream_calls.ts";
import { call } from "./cri-call.ts";
import type { CriEndpoint } from "./cri-endpoint.ts";

/** A message of which only some fields are given, at every depth. */
export type Some<T> = T extends bigint | Buffer | string | number | boolean | undefined
  ? T
  : T extends readonly (infer U)[]
    ? readonly Some<U>[]
    : { readonly [K in keyof T]?: Some<T[K]> };

/** What a test asks of a container, beside what every container has. */
export type ContainerWishes = Some<ContainerConfig> & {
  readonly name?: string;
  readonly attempt?: number;
};

/** Which streams a test asks for. */
export interface StreamWishes {
  readonly stdin?: boolean;
  readonly stdout?: boolean;
  readonly stderr?: boolean;
  readonly tty?: boolean;
}

/** What a test asks of a sandbox, beside what every sandbox has. */
export type PodWishes = Some<PodSandboxConfig>;

/** The calls of crictl, as short as a test wants them. */
export class CriClient {
  readonly #endpoint: CriEndpoint;

  constructor({ endpoint }: { readonly endpoint: CriEndpoint }) {
    this.#endpoint = endpoint;
  }

  async runPod(config: PodWishes = {}, runtimeHandler: string = ""): Promise<string> {
    const request = {
      config: PodSandboxConfig.fromPartial({
        metadata: { name: "web", namespace: "default", uid: "u1", attempt: 0 },
        logDirectory: this.#endpoint.logDirectory,
        linux: {},
        ...(config as Partial<PodSandboxConfig>),
      }),
      runtimeHandler,
    };
    const { runtime } = this.#endpoint;
    return (await call(runtime, runtime.runPodSandbox, request)).podSandboxId;
  }

  async stopPod(podSandboxId: string): Promise<void> {
    await call(this.#endpoint.runtime, this.#endpoint.runtime.stopPodSandbox, { podSandboxId });
  }

  async removePod(podSandboxId: string): Promise<void> {
    await call(this.#endpoint.runtime, this.#endpoint.runtime.removePodSandbox, { podSandboxId });
  }

  async podStatus(podSandboxId: string): Promise<PodSandboxStatus> {
    const request = PodSandboxStatusRequest.fromPartial({ podSandboxId });
    const { runtime } = this.#endpoint;
    const { status } = await call(runtime, runtime.podSandboxStatus, request);
    if (status === undefined) throw new Error("a status without status");
    return status;
  }

  async pods(filter?: Some<ListPodSandboxRequest>["filter"]): Promise<PodSandbox[]> {
    const { runtime } = this.#endpoint;
    const request = ListPodSandboxRequest.fromPartial({ filter } as never);
    return (await call(runtime, runtime.listPodSandbox, request)).items;
  }

  async create(podSandboxId: string, wishes: ContainerWishes = {}): Promise<string> {
    const { name = "main", attempt = 0, ...rest } = wishes;
    const config = ContainerConfig.fromPartial({
      metadata: { name, attempt },
      image: { image: "registry.test/busybox:1" },
      logPath: `${name}/${attempt}.log`,
      ...(rest as Partial<ContainerConfig>),
    });
    const { runtime } = this.#endpoint;
    const request = { podSandboxId, config, sandboxConfig: undefined };
    return (await call(runtime, runtime.createContainer, request)).containerId;
  }

  async start(containerId: string): Promise<void> {
    await call(this.#endpoint.runtime, this.#endpoint.runtime.startContainer, { containerId });
  }

  async stop(containerId: string, seconds: number): Promise<void> {
    const request = { containerId, timeout: BigInt(seconds) };
    await call(this.#endpoint.runtime, this.#endpoint.runtime.stopContainer, request);
  }

  async removeContainer(containerId: string): Promise<void> {
    await call(this.#endpoint.runtime, this.#endpoint.runtime.removeContainer, { containerId });
  }

  async containerStatus(containerId: string): Promise<ContainerStatus> {
    const request = ContainerStatusRequest.fromPartial({ containerId });
    const { runtime } = this.#endpoint;
    const { status } = await call(runtime, runtime.containerStatus, request);
    if (status === undefined) throw new Error("a status without status");
    return status;
  }

  async containers(filter?: Some<ListContainersRequest>["filter"]): Promise<Container[]> {
    const { runtime } = this.#endpoint;
    const request = ListContainersRequest.fromPartial({ filter } as never);
    return (await call(runtime, runtime.listContainers, request)).containers;
  }

  exec(containerId: string, cmd: string[], seconds: number = 0): Promise<ExecSyncResponse> {
    const request = { containerId, cmd, timeout: BigInt(seconds) };
    return call(this.#endpoint.runtime, this.#endpoint.runtime.execSync, request);
  }

  /** The URL under which a command can be streamed. */
  async execUrl(containerId: string, cmd: string[], wants: StreamWishes): Promise<string> {
    const { runtime } = this.#endpoint;
    const request = ExecRequest.fromPartial({ containerId, cmd, ...wants });
    return (await call(runtime, runtime.exec, request)).url;
  }

  async attachUrl(containerId: string, wants: StreamWishes): Promise<string> {
    const { runtime } = this.#endpoint;
    const request = AttachRequest.fromPartial({ containerId, ...wants });
    return (await call(runtime, runtime.attach, request)).url;
  }

  async portForwardUrl(podSandboxId: string, port: number[]): Promise<string> {
    const { runtime } = this.#endpoint;
    return (await call(runtime, runtime.portForward, { podSandboxId, port })).url;
  }

  /** A call that LightVM does not have. */
  async checkpoint(containerId: string): Promise<void> {
    const { runtime } = this.#endpoint;
    const request = CheckpointContainerRequest.fromPartial({ containerId });
    await call(runtime, runtime.checkpointContainer, request);
  }

  version(): Promise<VersionResponse> {
    return call(this.#endpoint.runtime, this.#endpoint.runtime.version, { version: "v1" });
  }

  status(verbose: boolean = true): Promise<StatusResponse> {
    return call(this.#endpoint.runtime, this.#endpoint.runtime.status, { verbose });
  }

  async updateRuntimeConfig(podCidr: string): Promise<void> {
    await call(this.#endpoint.runtime, this.#endpoint.runtime.updateRuntimeConfig, {
      runtimeConfig: { networkConfig: { podCidr } },
    });
  }

  async pull(image: string, auth?: AuthConfig): Promise<string> {
    const request = PullImageRequest.fromPartial({ image: { image } });
    const client = this.#endpoint.image;
    return (await call(client, client.pullImage, { ...request, auth })).imageRef;
  }

  async images(image: string): Promise<Image[]> {
    const request = ListImagesRequest.fromPartial({ filter: { image: { image } } });
    return (await call(this.#endpoint.image, this.#endpoint.image.listImages, request)).images;
  }

  async image(image: string): Promise<Image | undefined> {
    const request = ImageStatusRequest.fromPartial({ image: { image } });
    return (await call(this.#endpoint.image, this.#endpoint.image.imageStatus, request)).image;
  }

  async removeImage(image: string): Promise<void> {
    const request = RemoveImageRequest.fromPartial({ image: { image } });
    await call(this.#endpoint.image, this.#endpoint.image.removeImage, request);
  }
}
