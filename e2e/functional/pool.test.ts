// SPDX-License-Identifier: Apache-2.0
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CriClient } from "../../test/harness/cri-client.ts";
import { connectCriTo } from "../../test/harness/cri-endpoint.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { dumpDomains, tracesOfPods } from "../framework/traces.ts";

/** What `crictl info` tells of the pool; see PoolMetrics. */
interface PoolInfo {
  readonly kinds: readonly {
    flavor: string;
    level: string;
    wanted: number;
    waiting: number;
    making: number;
    hits: number;
    failures: number;
  }[];
  readonly misses: Record<string, number>;
  readonly discarded: Record<string, number>;
}

const SETTINGS = `
[log]
level = "debug"
[vm]
boot_timeout_seconds = 60
vmm_timeout_seconds = 60
memory_mib = 32
[image.registries."127.0.0.1:5000"]
plain_http = true
`;
const pool = (size: number, level: string) =>
  `${SETTINGS}\n[pool]\nsize = ${size}\nlevel = "${level}"\nmemory_mib = 512\n`;

const LONG = { timeout: 120_000, interval: 1000 };

describe("the pool of shells", () => {
  let node: NodeUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    await node.crictl.must(["pull", node.busybox], 120_000);
  });
  afterAll(async () => await node[Symbol.asyncDispose]());
  afterEach(async () => {
    // Off again: the next lightvmd destroys what waits.
    await node.daemon.end();
    await node.daemon.start();
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });

  async function info(): Promise<PoolInfo> {
    const { lightvm } = await node.crictl.json<{ lightvm: { pool: PoolInfo } }>(["info"]);
    return lightvm.pool;
  }
  const waiting = async () => (await info()).kinds.reduce((sum, kind) => sum + kind.waiting, 0);

  async function restart(config: string, signal: "TERM" | "KILL" = "TERM"): Promise<void> {
    await node.daemon.end(signal);
    await node.daemon.start({ config });
  }

  async function steps(sandbox: string): Promise<string[]> {
    const { lightvm } = await node.crictl.json<{ lightvm: { breakdown: { name: string }[] } }>([
      "inspectp",
      sandbox,
    ]);
    return lightvm.breakdown.map(({ name }) => name);
  }

  it.each(["prepared", "loaded", "booted"])("gives a pod a %s shell", async (level) => {
    const { crictl, busybox } = node;
    await restart(pool(1, level));
    await expect.poll(waiting, LONG).toBe(1);
    const pod = { name: `from-${level}` };
    const before = await dumpDomains(node.box);
    const sandbox = await crictl.runPod(pod);
    expect(await steps(sandbox)).toContain(`take a ${level} shell`);
    expect(before.map(({ domid }) => domid)).toContain(await domidOf(sandbox));
    const container = { name: "c", image: busybox, command: ["sleep", "1000"] };
    const id = await crictl.start(sandbox, container, pod);
    const { stdout } = await crictl.exec(id, ["sh", "-c", "hostname; date +%s"]);
    const [hostname, seconds] = stdout.trim().split("\n");
    expect(hostname).toBe(pod.name);
    expect(Math.abs(Number(seconds) - Date.now() / 1000)).toBeLessThan(60);
    await crictl.removePod(sandbox);
    expect((await info()).kinds).toMatchObject([{ level, hits: 1, failures: 0 }]);
  });

  async function domidOf(sandbox: string): Promise<number> {
    const { lightvm } = await node.crictl.json<{ lightvm: { domid: number } }>([
      "inspectp",
      sandbox,
    ]);
    return lightvm.domid;
  }

  it("serves a burst of 50 pods against 10 shells without a failure", async () => {
    const { box } = node;
    await restart(pool(10, "booted"));
    await expect.poll(waiting, { timeout: 240_000, interval: 2000 }).toBe(10);
    // 50 processes of crictl would need more of dom0's memory than the pods.
    const port = await box.forward("/run/lightvm/lightvmd.sock");
    const endpoint = connectCriTo(`127.0.0.1:${port}`, "/var/log/pods");
    const cri = new CriClient({ endpoint });
    const order: number[] = [];
    const pods = await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        const metadata = { name: `burst-${n}`, uid: `${n}`, namespace: "default", attempt: 0 };
        const id = await cri.runPod({ metadata });
        order.push(n);
        return id;
      }),
    );
    for (const [place, n] of order.entries()) expect(Math.abs(place - n)).toBeLessThan(15);
    const { kinds, misses } = await info();
    expect(kinds.reduce((sum, { hits }) => sum + hits, 0)).toBeGreaterThanOrEqual(10);
    expect(Object.values(misses).reduce((sum, each) => sum + each, 0)).toBeLessThanOrEqual(40);
    for (const id of pods) await cri.removePod(id);
    endpoint.close();
  }, 1_900_000);

  it("survives lightvmd, also when that is killed in the middle of a refill", async () => {
    const { crictl } = node;
    await restart(pool(2, "booted"));
    await expect.poll(waiting, LONG).toBe(2);
    const before = await shells();
    await restart(pool(2, "booted"), "KILL");
    expect(await shells()).toEqual(before);
    expect(await waiting()).toBe(2);
    const sandbox = await crictl.runPod({ name: "after" });
    expect(await steps(sandbox)).toContain("take a booted shell");
    await crictl.removePod(sandbox);

    await restart(pool(4, "booted"));
    await expect.poll(async () => (await info()).kinds[0]?.making, LONG).toBeGreaterThan(0);
    await restart(pool(2, "booted"), "KILL");
    await expect.poll(waiting, LONG).toBe(2);
    await expect.poll(async () => (await shells()).length, LONG).toBe(2);
  });

  const shells = async () =>
    (await node.box.exec("ls /run/lightvm/shells")).stdout.trim().split("\n").sort();

  it("follows its configuration without a restart", async () => {
    const { daemon } = node;
    await restart(pool(1, "prepared"));
    await expect.poll(waiting, LONG).toBe(1);
    await daemon.reload(pool(3, "prepared"));
    await expect.poll(waiting, LONG).toBe(3);
    await daemon.reload(`${pool(1, "prepared")}\nrefills_at_once = 0`);
    await expect.poll(async () => await daemon.log(), LONG).toMatch(/pool.refills_at_once/);
    expect(await waiting()).toBe(3);
    await daemon.reload(pool(0, "prepared").replace("memory_mib = 32", "memory_mib = 48"));
    await expect.poll(waiting, LONG).toBe(0);
    expect(await daemon.log()).toContain('"needRestart":["vm.memory_mib"]');
    const sandbox = await node.crictl.runPod({ name: "without-pool" });
    await node.crictl.removePod(sandbox);
  });

  it("uses no shell that was made from an older kernel", async () => {
    const { box, crictl } = node;
    await restart(pool(1, "booted"));
    await expect.poll(waiting, LONG).toBe(1);
    const kernel = "/usr/lib/lightvm/guest/vmlinux-up";
    // The library may be mounted read-only: what is on top of it counts just as well.
    await box.exec(`cp ${kernel} /run/swapped && mount --bind /run/swapped ${kernel}`);
    try {
      const sandbox = await crictl.runPod({ name: "swapped" });
      expect(await steps(sandbox)).not.toContain("take a booted shell");
      expect((await info()).discarded["stale"]).toBe(1);
      await crictl.removePod(sandbox);
    } finally {
      await node.daemon.end();
      await box.exec(`umount ${kernel}; rm /run/swapped`);
      await node.daemon.start();
    }
  });
});
