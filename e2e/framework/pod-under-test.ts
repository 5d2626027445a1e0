// SPDX-License-Identifier: Apache-2.0
import type { ContainerOptions, PodOptions } from "./crictl.ts";
import type { NodeUnderTest } from "./node-under-test.ts";

/** A container of the busybox image, unless it names another. */
export type ContainerUnderTest = Omit<ContainerOptions, "image"> & { readonly image?: string };

/** A pod in which a test starts one container after the other. */
export class PodUnderTest {
  readonly options: PodOptions;
  /** Of the sandbox. */
  readonly id: string;
  readonly #node: NodeUnderTest;

  private constructor(node: NodeUnderTest, options: PodOptions, id: string) {
    this.#node = node;
    this.options = options;
    this.id = id;
  }

  /** Pulls the busybox image and runs the pod. */
  static async run(node: NodeUnderTest, options: PodOptions): Promise<PodUnderTest> {
    await node.crictl.must(["pull", node.busybox], 120_000);
    return new PodUnderTest(node, options, await node.crictl.runPod(options));
  }

  /** What a container is, in full. */
  container(container: ContainerUnderTest): ContainerOptions {
    return { image: this.#node.busybox, ...container };
  }

  /** CreateContainer; returns the id. */
  async create(container: ContainerUnderTest): Promise<string> {
    return await this.#node.crictl.create(this.id, this.container(container), this.options);
  }

  /** CreateContainer and StartContainer; returns the id. */
  async start(container: ContainerUnderTest): Promise<string> {
    return await this.#node.crictl.start(this.id, this.container(container), this.options);
  }

  /** Writes the files of CreateContainer; returns the words that make crictl call it. */
  async createArguments(container: ContainerUnderTest): Promise<string[]> {
    const { crictl } = this.#node;
    return await crictl.createArguments(this.id, this.container(container), this.options);
  }

  /** The CRI log file of a container as it is. */
  async rawLog(container: ContainerUnderTest): Promise<string> {
    return await this.#node.crictl.rawLog(this.container(container), this.options);
  }

  /** StopPodSandbox and RemovePodSandbox. */
  async remove(): Promise<void> {
    await this.#node.crictl.removePod(this.id);
  }
}
