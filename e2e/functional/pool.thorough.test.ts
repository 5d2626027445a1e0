// SPDX-License-Identifier: Apache-2.0
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { EVENTUALLY, PoolUnderTest, poolSettings } from "../framework/pool-under-test.ts";
import { dumpDomains, tracesOfPods } from "../framework/traces.ts";
import { scheduledDomains } from "../framework/xen-scheduler.ts";

interface PodStats {
  readonly linux: { readonly cpu: { readonly usageCoreNanoSeconds: { readonly value: string } } };
}

const MIB = 1024 * 1024;
const MEBIBYTE_PAGES = 256;

describe("the pool of shells", () => {
  let node: NodeUnderTest;
  let pool: PoolUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    await node.crictl.must(["pull", node.busybox], 120_000);
    pool = await PoolUnderTest.of(node);
  });
  afterAll(async () => {
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
    await node[Symbol.asyncDispose]();
  });
  afterEach(async () => await pool.empty());

  async function stepsOf(sandbox: string): Promise<string[]> {
    const { lightvm } = await node.crictl.json<{ lightvm: { breakdown: { name: string }[] } }>([
      "inspectp",
      sandbox,
    ]);
    return lightvm.breakdown.map(({ name }) => name);
  }

  /** Nanoseconds of CPU time by Xen's account. */
  async function usage(sandbox: string): Promise<number> {
    const { stats } = await node.crictl.json<{ stats: PodStats[] }>(["statsp", "--id", sandbox]);
    return Number(stats[0]?.linux.cpu.usageCoreNanoSeconds.value);
  }

  it.each(["prepared", "loaded", "booted"])("gives a pod a %s shell", async (level) => {
    const { box, busybox, crictl } = node;
    await pool.fill(1, level);
    const [shell] = await pool.shells();
    const pod = { name: `from-${level}` };
    const sandbox = await crictl.runPod(pod);
    expect(await stepsOf(sandbox)).toContain(`take a ${level} shell`);
    const link = await box.exec(`readlink /run/lightvm/pods/${sandbox}`);
    expect(link.stdout.trim()).toBe(`../shells/${shell}`);
    const container = { name: "c", image: busybox, command: ["sleep", "1000"] };
    const id = await crictl.start(sandbox, container, pod);
    const { stdout } = await crictl.exec(id, ["sh", "-c", "hostname; date +%s"]);
    const [hostname, seconds] = stdout.trim().split("\n");
    expect(hostname).toBe(pod.name);
    const now = (await box.exec("date +%s")).stdout;
    expect(Math.abs(Number(seconds) - Number(now))).toBeLessThan(60);
    await crictl.removePod(sandbox);
  });

  it("boots each shell by itself: two pods share no random state", async () => {
    const { busybox, crictl } = node;
    await pool.fill(2);
    const random = async (name: string) => {
      const sandbox = await crictl.runPod({ name });
      expect(await stepsOf(sandbox)).toContain("take a booted shell");
      const container = { name: "c", image: busybox, command: ["sleep", "1000"] };
      const id = await crictl.start(sandbox, container, { name });
      const print = "cat /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | busybox md5sum";
      const { stdout } = await crictl.exec(id, ["sh", "-c", print]);
      await crictl.removePod(sandbox);
      return stdout.trim().split("\n");
    };
    const [one, other] = [await random("one"), await random("other")];
    expect(new Set([...one, ...other]).size).toBe(4);
  });

  it("makes a larger booted shell as small as its pod, and Xen holds it to that", async () => {
    const { busybox, crictl, daemon } = node;
    await daemon.reload(`${poolSettings(0)}\n[[pool.flavors]]\nmemory_mib = 128\nsize = 1`);
    await expect.poll(() => pool.waiting(), EVENTUALLY).toBe(1);
    const linux = { resources: { memory_limit_in_bytes: 40 * MIB } };
    const pod = { name: "small", linux };
    const sandbox = await crictl.runPod(pod);
    const steps = await stepsOf(sandbox);
    expect(steps).toEqual(expect.arrayContaining(["take a booted shell", "shrink"]));
    const { lightvm } = await crictl.json<{ lightvm: { memoryBytes: number } }>([
      "inspectp",
      sandbox,
    ]);
    const mebibytes = lightvm.memoryBytes / MIB;
    expect(mebibytes).toBeLessThan(128);
    const container = { name: "c", image: busybox, command: ["sleep", "1000"] };
    const id = await crictl.start(sandbox, container, pod);
    const { stdout } = await crictl.exec(id, ["grep", "MemTotal", "/proc/meminfo"]);
    expect(Number(/\d+/.exec(stdout)?.[0])).toBeLessThan(mebibytes * 1024);
    // Half of what there is, not of what there was when it was mounted.
    const much = "dd if=/dev/zero of=/dev/shm/much bs=1M count=100";
    expect((await crictl.exec(id, ["sh", "-c", much])).stderr).toMatch(/No space left/);
    expect((await crictl.exec(id, ["true"])).code).toBe(0);
    const domain = (await dumpDomains(node.box)).at(-1);
    expect(domain?.pages).toBeLessThanOrEqual((mebibytes + 1) * MEBIBYTE_PAGES);
    await crictl.removePod(sandbox);
  });

  it("makes a booted shell of two vCPUs one of one, and Xen holds it to that", async () => {
    const { busybox, crictl, daemon } = node;
    const flavor = "[[pool.flavors]]\nvcpus = 2\nmemory_mib = 128\nsize = 1";
    await daemon.reload(`${poolSettings(0)}\n${flavor}`);
    await expect.poll(() => pool.waiting(), EVENTUALLY).toBe(1);
    const linux = { resources: { memory_limit_in_bytes: 96 * MIB } };
    const pod = { name: "single", linux };
    const sandbox = await crictl.runPod(pod);
    expect(await stepsOf(sandbox)).toContain("switch vCPUs off");
    const container = {
      name: "c",
      image: busybox,
      command: ["sleep", "1000"],
      linux: { security_context: { privileged: true } },
    };
    const id = await crictl.start(sandbox, container, pod);
    const processors = async () => (await crictl.exec(id, ["nproc"])).stdout.trim();
    expect(await processors()).toBe("1");
    // Whoever switches the other one on again has two of them, and the time of one.
    const on = "echo 1 >/sys/devices/system/cpu/cpu1/online";
    expect((await crictl.exec(id, ["sh", "-c", on])).code).toBe(0);
    expect(await processors()).toBe("2");
    const { lightvm } = await crictl.json<{ lightvm: { domid: number } }>(["inspectp", sandbox]);
    const { domid } = lightvm;
    const share = { domid, weight: 256, capPercent: 100 };
    expect(await scheduledDomains(node.box)).toContainEqual(share);
    const burn = 'for n in 1 2; do timeout 8 sh -c "while :; do :; done" & done; wait';
    const [before, from] = [await usage(sandbox), performance.now()];
    await crictl.exec(id, ["sh", "-c", burn]);
    const cpus = ((await usage(sandbox)) - before) / 1e6 / (performance.now() - from);
    expect(cpus).toBeGreaterThan(0.2);
    expect(cpus).toBeLessThan(1.1);
    await crictl.removePod(sandbox);
  });

  it("survives lightvmd and serves the next one", async () => {
    const { crictl, daemon } = node;
    await pool.fill(2);
    const before = await pool.shells();
    await daemon.end("KILL");
    await daemon.start({ config: poolSettings(2) });
    expect(await pool.shells()).toEqual(before);
    expect(await pool.waiting()).toBe(2);
    const sandbox = await crictl.runPod({ name: "after" });
    expect(await stepsOf(sandbox)).toContain("take a booted shell");
    await crictl.removePod(sandbox);
  });

  it("leaves nothing when lightvmd is killed in the middle of a refill", async () => {
    const { box, daemon } = node;
    await daemon.reload(poolSettings(8));
    // A shell that does not wait yet has no level in its record.
    const unfinished = "grep -sL level /run/lightvm/shells/*/shell.json | grep -q .";
    const killed = await box.exec(
      `timeout 60 sh -c 'until ${unfinished}; do :; done' && kill -KILL $(cat /run/lightvmd.pid)`,
    );
    expect(killed.code).toBe(0);
    await daemon.start({ config: poolSettings(2) });
    await expect.poll(() => pool.waiting(), EVENTUALLY).toBe(2);
    await expect.poll(async () => (await pool.shells()).length, EVENTUALLY).toBe(2);
  });

  it("follows its configuration without a restart", async () => {
    const { daemon } = node;
    await pool.fill(1, "prepared");
    await pool.fill(3, "prepared");
    await daemon.reload(`${poolSettings(1, "prepared")}\nrefills_at_once = 0`);
    await expect.poll(() => daemon.log(), EVENTUALLY).toMatch(/pool.refills_at_once/);
    expect(await pool.waiting()).toBe(3);
    await daemon.reload(poolSettings(0).replace("memory_mib = 28", "memory_mib = 48"));
    await expect.poll(() => pool.waiting(), EVENTUALLY).toBe(0);
    expect(await daemon.log()).toContain('"needRestart":["vm.memory_mib"]');
  });

  it("uses no shell that was made from an older kernel", async () => {
    const { box, crictl } = node;
    const kernel = "/usr/lib/lightvm/guest/vmlinux-up";
    await pool.fill(1);
    // The library is mounted read-only; another file on top of one counts just as well.
    await box.exec(`cp ${kernel} /run/swapped && mount --bind /run/swapped ${kernel}`);
    try {
      const sandbox = await crictl.runPod({ name: "swapped" });
      expect(await stepsOf(sandbox)).not.toContain("take a booted shell");
      expect((await pool.metrics()).discarded.stale).toBe(1);
      await crictl.removePod(sandbox);
      await pool.empty();
    } finally {
      await box.exec(`umount ${kernel}; rm /run/swapped`);
    }
  });
});
