// SPDX-License-Identifier: Apache-2.0
import { expect } from "vitest";
import type { PodOptions } from "./crictl.ts";
import type { NodeUnderTest } from "./node-under-test.ts";

/** Where the box's CNI configuration is. */
export const CNI_CONFIG = "/etc/cni/net.d";
/** Address of the box in QEMU's network. */
export const NODE_ADDRESS = "10.0.2.15";
/** Where pods that serve listen. */
export const POD_PORT = 8080;

/** A pod that serves on its network. */
export interface ServedPod {
  readonly sandbox: string;
  /** Of its container. */
  readonly id: string;
  readonly ips: readonly string[];
}

/** Pods that answer on the network of a node, whose CNI configuration tests change as it runs. */
export class NetworkUnderTest {
  readonly #node: NodeUnderTest;

  constructor(node: NodeUnderTest) {
    this.#node = node;
  }

  /** A network that comes before the box's own until `reset`. */
  async configure(name: string, plugins: readonly object[]): Promise<void> {
    const list = JSON.stringify({ cniVersion: "1.0.0", name, plugins });
    await this.#node.box.exec(`cat >${CNI_CONFIG}/05-${name}.conflist`, { input: list });
  }

  /** A pod that answers on POD_PORT, over and over, with its name; or runs another command. */
  async serve(pod: PodOptions, command?: readonly string[], image?: string): Promise<ServedPod> {
    const { busybox, crictl } = this.#node;
    const sandbox = await crictl.runPod(pod);
    const listen = `while true; do echo ${pod.name} | nc -l -p ${POD_PORT}; done`;
    const container = {
      name: "server",
      image: image ?? busybox,
      command: command ?? ["sh", "-c", listen],
    };
    const id = await crictl.start(sandbox, container, pod);
    const { network } = await crictl.podStatus(sandbox);
    return { sandbox, id, ips: [network.ip, ...network.additionalIps.map(({ ip }) => ip)] };
  }

  /** What a server says to the node. The first tries may come before it listens. */
  async fromNode(address: string, port = POD_PORT): Promise<string> {
    const once = `busybox nc -w 10 ${address} ${port} </dev/null`;
    const { stdout } = await this.#node.box.exec(
      `for try in $(seq 20); do ${once} && exit; sleep 1; done`,
      { timeoutMs: 120_000 },
    );
    return stdout.trim();
  }

  /** What a script says in a container; it must not fail. */
  async inPod(id: string, script: string): Promise<string> {
    const { code, stderr, stdout } = await this.#node.crictl.exec(id, ["sh", "-c", script]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout.trim();
  }

  /** Removes all pods, those of a test that failed included, and all configurations. */
  async reset(): Promise<void> {
    await this.#node.crictl.run(["rmp", "--force", "--all"], 120_000);
    await this.#node.box.exec(`rm -f ${CNI_CONFIG}/0*`);
  }
}
