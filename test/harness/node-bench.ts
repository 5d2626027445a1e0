// SPDX-License-Identifier: Apache-2.0
import { mkdirSync } from "node:fs";
import type { ServingNode } from "../../src/serve-node.ts";
import type { NodeContext } from "../../src/service/node-context.ts";
import { silentLogger } from "../../src/shared/logger.ts";
import { type CriEndpoint, connectCri } from "./cri-endpoint.ts";
import { FakeImages } from "./fake-images.ts";
import { FakeNetwork } from "./fake-network.ts";
import { benchConfig, startLife } from "./node-life.ts";
import { ToolstackBench } from "./toolstack-bench.ts";
import type { VmmBehaviour } from "./vmm-behaviour.ts";

/**
 * A node without Xen and registries: real gRPC server and clients on a real socket, real records,
 * real toolstack; fake hypervisor, VMM processes, network and images.
 */
export class NodeBench implements AsyncDisposable {
  readonly toolstackBench: ToolstackBench;
  readonly images: FakeImages;
  readonly network: FakeNetwork;
  readonly endpoint: CriEndpoint;
  readonly #life: ServingNode;

  private constructor(
    toolstackBench: ToolstackBench,
    images: FakeImages,
    network: FakeNetwork,
    life: ServingNode,
  ) {
    this.toolstackBench = toolstackBench;
    this.images = images;
    this.network = network;
    this.endpoint = connectCri(toolstackBench.root);
    this.#life = life;
  }

  /** `settings`: more of the node's configuration, as in its file. */
  static async start(behaviour: VmmBehaviour, settings: object = {}): Promise<NodeBench> {
    const toolstackBench = new ToolstackBench(behaviour);
    const { root } = toolstackBench;
    mkdirSync(benchConfig(root).state_directory, { recursive: true });
    const images = new FakeImages(root);
    await images.pull("registry.test/busybox:1");
    await images.pull("registry.test/noop:1");
    const toolstack = toolstackBench.toolstack();
    const network = new FakeNetwork(root);
    const parts = { toolstack, images, network, logger: silentLogger() };
    const life = await startLife(root, parts, settings);
    return new NodeBench(toolstackBench, images, network, life);
  }

  get context(): NodeContext {
    return this.#life.context;
  }

  get socket(): string {
    return this.context.config.socket;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.endpoint.close();
    await this.#life[Symbol.asyncDispose]();
    this.toolstackBench[Symbol.dispose]();
  }
}
