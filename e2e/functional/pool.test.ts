// SPDX-License-Identifier: Apache-2.0
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { CriClient } from "../../test/harness/cri-client.ts";
import { connectCriTo } from "../../test/harness/cri-endpoint.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

/** What `crictl info` tells of the pool; see PoolMetrics. */
interface PoolInfo {
  readonly kinds: readonly { level: string; waiting: number; hits: number; failures: number }[];
  readonly misses: Record<string, number>;
  readonly discarded: Record<string, number>;
  readonly leaving: number;
}

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
const pool = (size: number, level = "booted") =>
  `${SETTINGS}\n[pool]\nsize = ${size}\nlevel = "${level}"\nmemory_mib = 512\n`;
const OFF = pool(0);

const LONG = { timeout: 180_000, interval: 1000 };
const MINUTES = 60_000;

describe("the pool of shells", () => {
  let node: NodeUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    await node.crictl.must(["pull", node.busybox], 120_000);
    await node.daemon.end();
    await node.daemon.start({ config: OFF });
  });
  afterAll(async () => {
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
    await node[Symbol.asyncDispose]();
  });
  afterEach(async () => {
    await node.daemon.reload(OFF);
    await expect.poll(shells, LONG).toEqual([]);
  });

  /** Ids of all shells, whether they wait, are a pod's or are being made or destroyed. */
  const shells = async () =>
    (await node.box.exec("ls /run/lightvm/shells")).stdout.split("\n").filter((id) => id !== "");

  async function info(): Promise<PoolInfo> {
    const { lightvm } = await node.crictl.json<{ lightvm: { pool: PoolInfo } }>(["info"]);
    return lightvm.pool;
  }
  const waiting = async () => (await info()).kinds.reduce((sum, kind) => sum + kind.waiting, 0);
  const hits = async () => (await info()).kinds.reduce((sum, kind) => sum + kind.hits, 0);

  async function fill(size: number, level?: string): Promise<void> {
    await node.daemon.reload(pool(size, level));
    await expect.poll(waiting, LONG).toBe(size);
  }

  async function detailsOf(sandbox: string): Promise<{ domid: number; steps: string[] }> {
    const { lightvm } = await node.crictl.json<{
      lightvm: { domid: number; breakdown: { name: string }[] };
    }>(["inspectp", sandbox]);
    return { domid: lightvm.domid, steps: lightvm.breakdown.map(({ name }) => name) };
  }

  it.each(["prepared", "loaded", "booted"])("gives a pod a %s shell", async (level) => {
    const { crictl, busybox } = node;
    await fill(1, level);
    const [shell] = await shells();
    const pod = { name: `from-${level}` };
    const sandbox = await crictl.runPod(pod);
    expect((await detailsOf(sandbox)).steps).toContain(`take a ${level} shell`);
    const link = await node.box.exec(`readlink /run/lightvm/pods/${sandbox}`);
    expect(link.stdout.trim()).toBe(`../shells/${shell}`);
    const container = { name: "c", image: busybox, command: ["sleep", "1000"] };
    const id = await crictl.start(sandbox, container, pod);
    const { stdout } = await crictl.exec(id, ["sh", "-c", "hostname; date +%s"]);
    const [hostname, seconds] = stdout.trim().split("\n");
    expect(hostname).toBe(pod.name);
    const now = (await node.box.exec("date +%s")).stdout;
    expect(Math.abs(Number(seconds) - Number(now))).toBeLessThan(60);
    await crictl.removePod(sandbox);
  });

  it(
    "serves a burst of 50 pods against 10 shells in order, without a failure",
    async () => {
      await fill(10);
      const hitsBefore = await hits();
      // 50 processes of crictl would need more of dom0's memory than the pods.
      const port = await node.box.forward("/run/lightvm/lightvmd.sock");
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
      // Some start at once, so neighbours may overtake each other, but nobody is left behind.
      for (const [place, n] of order.entries()) expect(Math.abs(place - n)).toBeLessThan(10);
      expect((await hits()) - hitsBefore).toBeGreaterThanOrEqual(10);
      await Promise.all(pods.map((id) => cri.removePod(id)));
      endpoint.close();
    },
    30 * MINUTES,
  );

  it(
    "survives lightvmd, also when that is killed in the middle of a refill",
    async () => {
      const { box, crictl, daemon } = node;
      await fill(2);
      const before = await shells();
      await daemon.end("KILL");
      await daemon.start({ config: pool(2) });
      expect(await shells()).toEqual(before);
      expect(await waiting()).toBe(2);
      const sandbox = await crictl.runPod({ name: "after" });
      expect((await detailsOf(sandbox)).steps).toContain("take a booted shell");
      await crictl.removePod(sandbox);

      await daemon.reload(pool(8));
      // A shell that does not wait yet has no level in its record.
      const unfinished = "grep -sL level /run/lightvm/shells/*/shell.json | grep -q .";
      const killed = await box.exec(
        `timeout 60 sh -c 'until ${unfinished}; do :; done' && kill -KILL $(cat /run/lightvmd.pid)`,
      );
      expect(killed.code).toBe(0);
      await daemon.start({ config: pool(2) });
      await expect.poll(waiting, LONG).toBe(2);
      await expect.poll(async () => (await shells()).length, LONG).toBe(2);
    },
    10 * MINUTES,
  );

  it("follows its configuration without a restart", async () => {
    const { daemon } = node;
    await fill(1, "prepared");
    await fill(3, "prepared");
    await daemon.reload(`${pool(1, "prepared")}\nrefills_at_once = 0`);
    await expect.poll(async () => await daemon.log(), LONG).toMatch(/pool.refills_at_once/);
    expect(await waiting()).toBe(3);
    await daemon.reload(OFF.replace("memory_mib = 28", "memory_mib = 48"));
    await expect.poll(waiting, LONG).toBe(0);
    expect(await daemon.log()).toContain('"needRestart":["vm.memory_mib"]');
  });

  it("uses no shell that was made from an older kernel", async () => {
    const { box, crictl } = node;
    const kernel = "/usr/lib/lightvm/guest/vmlinux-up";
    await fill(1);
    // The library is mounted read-only; another file on top of one counts just as well.
    await box.exec(`cp ${kernel} /run/swapped && mount --bind /run/swapped ${kernel}`);
    try {
      const sandbox = await crictl.runPod({ name: "swapped" });
      expect((await detailsOf(sandbox)).steps).not.toContain("take a booted shell");
      expect((await info()).discarded["stale"]).toBe(1);
      await crictl.removePod(sandbox);
      await node.daemon.reload(OFF);
      await expect.poll(shells, LONG).toEqual([]);
    } finally {
      await box.exec(`umount ${kernel}; rm /run/swapped`);
    }
  });
});
