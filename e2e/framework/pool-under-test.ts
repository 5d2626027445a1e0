// SPDX-License-Identifier: Apache-2.0
import { expect } from "vitest";
import type { PoolMetrics } from "../../src/toolstack/pool/metrics.ts";
import type { NodeUnderTest } from "./node-under-test.ts";

/** The box's settings, with small VMs. */
const SETTINGS = `
[log]
level = "debug"
[vm]
boot_timeout_seconds = 60
vmm_timeout_seconds = 60
memory_mib = 28
[image.registries."127.0.0.1:5000"]
plain_http = true
`;

/** How long a pool may take to become what it is told to be, in an emulated machine. */
export const EVENTUALLY = { timeout: 180_000, interval: 1000 };

/** The configuration of a lightvmd with a pool of that many shells. */
export function poolSettings(size: number, level = "booted"): string {
  return `${SETTINGS}\n[pool]\nsize = ${size}\nlevel = "${level}"\nmemory_mib = 512\n`;
}

/** The pool of a node's lightvmd, changed while that runs. */
export class PoolUnderTest {
  readonly #node: NodeUnderTest;

  private constructor(node: NodeUnderTest) {
    this.#node = node;
  }

  /** Starts lightvmd anew, with settings that can be reloaded and no shells. */
  static async of(node: NodeUnderTest): Promise<PoolUnderTest> {
    await node.daemon.end();
    await node.daemon.start({ config: poolSettings(0) });
    return new PoolUnderTest(node);
  }

  /** What `crictl info` tells of it. */
  async metrics(): Promise<PoolMetrics> {
    const { lightvm } = await this.#node.crictl.json<{ lightvm: { pool: PoolMetrics } }>(["info"]);
    return lightvm.pool;
  }

  async waiting(): Promise<number> {
    return (await this.metrics()).kinds.reduce((sum, kind) => sum + kind.waiting, 0);
  }

  async hits(): Promise<number> {
    return (await this.metrics()).kinds.reduce((sum, kind) => sum + kind.hits, 0);
  }

  /** Ids of all shells, whether they wait, are a pod's or are being made or destroyed. */
  async shells(): Promise<string[]> {
    const { stdout } = await this.#node.box.exec("ls /run/lightvm/shells");
    return stdout.split("\n").filter((id) => id !== "");
  }

  /** Has so many shells made, or destroyed. */
  async fill(size: number, level?: string): Promise<void> {
    await this.#node.daemon.reload(poolSettings(size, level));
    await expect.poll(() => this.waiting(), EVENTUALLY).toBe(size);
  }

  /** Turns the pool off and waits until nothing of it is left. */
  async empty(): Promise<void> {
    await this.#node.daemon.reload(poolSettings(0));
    await expect.poll(() => this.shells(), EVENTUALLY).toEqual([]);
  }
}
