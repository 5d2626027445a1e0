// SPDX-License-Identifier: Apache-2.0
import { existsSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import { ToolstackBench } from "../../../test/harness/toolstack-bench.ts";
import type { LightvmToolstack } from "../lightvm-toolstack.ts";
import { SHELL_LEVELS, type ShellLevel } from "../shell-record.ts";

const MIB = 1024 * 1024;
const wait = { timeout: 20_000 };

/** A pool of pods' default size. */
const pool = (size: number, level: ShellLevel = "booted") => ({ size, level });

const waiting = (toolstack: LightvmToolstack) =>
  toolstack.pool().kinds.reduce((sum, kind) => sum + kind.waiting, 0);

/** A toolstack whose pool is full. */
async function filled(bench: ToolstackBench, size: number): Promise<LightvmToolstack> {
  const toolstack = bench.toolstack();
  toolstack.start();
  await expect.poll(() => waiting(toolstack), wait).toBe(size);
  return toolstack;
}

/** Ends the pool and everything in it. */
async function drained(bench: ToolstackBench, toolstack: LightvmToolstack): Promise<void> {
  toolstack.reconfigure(bench.config().pool);
  await toolstack.close();
  expect(bench.leftovers()).toEqual([]);
}

describe("a pod whose flavor waits in the pool", () => {
  it.each(SHELL_LEVELS)("takes a %s shell", async (level) => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(1, level) });
    const toolstack = await filled(bench, 1);
    const [shell] = bench.hypervisor.listDomains();
    expect(shell?.paused).toBe(true);
    const vm = await toolstack.create(bench.spec(), bench.signal);
    expect(vm.domid).toBe(shell?.domid);
    expect(bench.hypervisor.listDomains()[0]?.paused).toBe(false);
    const steps = vm.breakdown.map(({ name }) => name);
    expect(steps).toContain(`take a ${level} shell`);
    expect(steps).not.toContain("prepare");
    expect(steps.includes("boot")).toBe(level !== "booted");
    const reply = await vm.call({ $case: "ping", value: {} }, { signal: bench.signal });
    expect(reply.$case).toBe("done");
    await expect.poll(() => waiting(toolstack), wait).toBe(1);
    expect(toolstack.pool()).toMatchObject({
      kinds: [{ level, wanted: 1, waiting: 1, hits: 1, refills: 2, failures: 0 }],
      misses: {},
    });
    await vm.destroy();
    await drained(bench, toolstack);
  });

  it("never gets one that another pod has had", async () => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(1) });
    const toolstack = await filled(bench, 1);
    const first = await toolstack.create(bench.spec("a"), bench.signal);
    const shell = realpathSync(join(bench.paths.pods, first.id));
    await first.destroy();
    expect(existsSync(shell)).toBe(false);
    await expect.poll(() => waiting(toolstack), wait).toBe(1);
    const second = await toolstack.create(bench.spec("b"), bench.signal);
    expect(basename(realpathSync(join(bench.paths.pods, second.id)))).not.toBe(basename(shell));
    await second.destroy();
    await drained(bench, toolstack);
  });

  it("gets a VM all the same when the shell does not come up", async () => {
    using bench = new ToolstackBench({ guest: "panics" }, { pool: pool(1, "prepared") });
    const toolstack = await filled(bench, 1);
    bench.behave({ guest: "boots" });
    const vm = await toolstack.create(bench.spec(), bench.signal);
    expect(vm.end).toBeUndefined();
    expect(toolstack.pool().discarded.failed).toBe(1);
    await vm.destroy();
    await drained(bench, toolstack);
  });
});

it("a pod that brings its own kernel takes a prepared shell and no other", async () => {
  const flavors = [
    { memory_mib: 64, size: 1, level: "booted" },
    { memory_mib: 16, size: 1, level: "prepared" },
  ];
  using bench = new ToolstackBench({ guest: "boots" }, { pool: { flavors } });
  const toolstack = await filled(bench, 2);
  const domids = bench.hypervisor.listDomains().map(({ domid }) => domid);
  const large = await toolstack.prepareShell(bench.spec("a"), bench.signal);
  const small = await toolstack.prepareShell(
    { ...bench.spec("b"), memoryBytes: 16 * MIB },
    bench.signal,
  );
  expect([large, small].map(({ domid }) => domids.includes(domid))).toEqual([false, true]);
  await Promise.all([large.destroy(), small.destroy()]);
  await drained(bench, toolstack);
});

it("a pod takes a booted shell with more vCPUs, and Xen gives it no more CPU time for them", async () => {
  const flavors = [{ memory_mib: 96, vcpus: 2, size: 1 }];
  using bench = new ToolstackBench({ guest: "boots" }, { pool: { flavors } });
  const toolstack = await filled(bench, 1);
  // One that is made for it would have another kernel.
  const spec = { ...bench.spec(), vcpus: 1, memoryBytes: 96 * MIB, cpuShares: 512 };
  const vm = await toolstack.create(spec, bench.signal);
  const steps = vm.breakdown.map(({ name }) => name);
  expect(steps).toEqual(expect.arrayContaining(["take a booted shell", "switch vCPUs off"]));
  expect(steps).not.toContain("shrink");
  expect(bench.hypervisor.log).toEqual(["weigh domain 128, at most 100 %"]);
  vm.setCpuShares(1024);
  expect(bench.hypervisor.log).toContain("weigh domain 256, at most 100 %");
  await vm.destroy();
  expect(() => vm.setCpuShares(1024)).toThrow("has ended");
  await drained(bench, toolstack);
});

it("but not where Xen's scheduler could not hold it to that", async () => {
  const flavors = [{ memory_mib: 96, vcpus: 4, size: 1 }];
  using bench = new ToolstackBench({ guest: "boots" }, { pool: { flavors } });
  bench.hypervisor.canCap = false;
  const toolstack = await filled(bench, 1);
  const spec = { ...bench.spec(), vcpus: 2, memoryBytes: 96 * MIB, cpuShares: 512 };
  const vm = await toolstack.create(spec, bench.signal);
  expect(vm.breakdown.map(({ name }) => name)).not.toContain("take a booted shell");
  expect(bench.hypervisor.log).toEqual([]);
  await vm.destroy();
  await drained(bench, toolstack);
});

it("tells of a shell that is being made also when it is not wanted any more", async () => {
  using bench = new ToolstackBench({ guest: "is silent" }, { pool: pool(1) });
  const toolstack = bench.toolstack();
  toolstack.start();
  toolstack.reconfigure(bench.config().pool);
  expect(toolstack.pool().kinds).toMatchObject([{ wanted: 0, waiting: 0, making: 1 }]);
  await drained(bench, toolstack);
});

it("a pod takes the smallest booted shell that can shrink to it, and Xen holds it to that", async () => {
  const flavors = [
    { memory_mib: 96, size: 1 },
    { memory_mib: 80, size: 1 },
    { memory_mib: 64, size: 1, level: "loaded" },
    { memory_mib: 80, vcpus: 2, size: 1 },
  ];
  using bench = new ToolstackBench({ guest: "boots" }, { pool: { flavors } });
  const toolstack = await filled(bench, 4);
  const spec = { ...bench.spec(), memoryBytes: 72 * MIB };
  const vm = await toolstack.create(spec, bench.signal);
  const steps = vm.breakdown.map(({ name }) => name);
  expect(steps).toEqual(expect.arrayContaining(["take a booted shell", "shrink"]));
  expect(bench.hypervisor.log).toContain("limit domain to 72 MiB");
  const hit = toolstack.pool().kinds.filter(({ hits }) => hits === 1);
  expect(hit).toMatchObject([{ flavor: "up-1cpu-80MiB-32slots", level: "booted" }]);
  const same = await toolstack.create(bench.spec("b"), bench.signal);
  expect(same.breakdown.map(({ name }) => name)).toContain("take a loaded shell");
  await Promise.all([vm.destroy(), same.destroy()]);
  await drained(bench, toolstack);
});

it("a pod of another flavor is built from nothing, and the pool learns it", async () => {
  using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(1) });
  const toolstack = await filled(bench, 1);
  const spec = { ...bench.spec(), memoryBytes: 128 * MIB };
  const vm = await toolstack.create(spec, bench.signal);
  expect(vm.breakdown.map(({ name }) => name)).toContain("prepare");
  expect(toolstack.pool().misses).toEqual({ "up-1cpu-128MiB-32slots": 1 });
  const learnt = () => toolstack.pool().kinds.find(({ wanted }) => wanted === 1);
  await expect.poll(learnt, wait).toMatchObject({ flavor: "up-1cpu-128MiB-32slots", waiting: 1 });
  expect(toolstack.pool().discarded.surplus).toBe(1);
  await vm.destroy();
  await drained(bench, toolstack);
});

it("serves a burst of 50 pods against a pool of 10 in order, without a failure", async () => {
  using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(10) });
  bench.hypervisor.totalMemoryBytes = BigInt(64 * 1024 * MIB);
  const toolstack = await filled(bench, 10);
  const order: number[] = [];
  const vms = await Promise.all(
    Array.from({ length: 50 }, async (_, n) => {
      const spec = { ...bench.spec(), id: n.toString(16).padStart(64, "0") };
      using _turn = await toolstack.turn(bench.signal);
      const vm = await toolstack.create(spec, bench.signal);
      order.push(n);
      return vm;
    }),
  );
  expect(order.slice(0, 10).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  // Several are built at once, so neighbours may overtake each other, but nobody is left behind.
  for (const [place, n] of order.entries()) expect(Math.abs(place - n)).toBeLessThan(10);
  const hits = toolstack.pool().kinds.reduce((sum, kind) => sum + kind.hits, 0);
  expect(hits).toBe(10);
  expect(Object.values(toolstack.pool().misses)).toEqual([40]);
  await Promise.all(vms.map((vm) => vm.destroy()));
  await drained(bench, toolstack);
}, 120_000);

describe("memory", () => {
  it("is never taken past the budget", async () => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: { ...pool(5), memory_mib: 140 } });
    const toolstack = await filled(bench, 2);
    await expect.poll(() => toolstack.pool().heldBack).toMatch(/budget is used up/);
    const { heldBytes, budgetBytes } = toolstack.pool();
    expect(heldBytes).toBeLessThanOrEqual(budgetBytes);
    toolstack.reconfigure(bench.config({ ...pool(5), memory_mib: 70 }).pool);
    await expect.poll(() => bench.livingVmms().length, wait).toBe(1);
    await drained(bench, toolstack);
  });

  it("is left alone where Xen has none for another shell", async () => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(5) });
    bench.hypervisor.totalMemoryBytes = BigInt(180 * MIB);
    const toolstack = await filled(bench, 2);
    await expect.poll(() => toolstack.pool().heldBack).toMatch(/Xen has no memory/);
    expect(toolstack.pool().kinds[0]?.failures).toBe(0);
    await drained(bench, toolstack);
  });

  it("is given to a pod that finds none, from shells that wait", async () => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(2) });
    bench.hypervisor.totalMemoryBytes = BigInt(180 * MIB);
    const toolstack = await filled(bench, 2);
    const vm = await toolstack.create({ ...bench.spec(), memoryBytes: 128 * MIB }, bench.signal);
    expect(toolstack.pool().discarded.memory).toBe(2);
    expect(vm.breakdown.filter(({ name }) => name === "push a shell out")).toHaveLength(2);
    await vm.destroy();
    await expect.poll(() => waiting(toolstack), { timeout: 30_000 }).toBeGreaterThan(0);
    await drained(bench, toolstack);
  });

  it("is given to a pod that finds none, from a shell that is being made", async () => {
    using bench = new ToolstackBench(
      { guest: "boots", hangsAt: "execute" },
      { pool: { ...pool(2), refills_at_once: 2 } },
    );
    bench.hypervisor.totalMemoryBytes = BigInt(180 * MIB);
    const toolstack = bench.toolstack();
    toolstack.start();
    await expect.poll(() => bench.hypervisor.listDomains().length, wait).toBe(2);
    bench.behave({ guest: "boots" });
    const vm = await toolstack.create({ ...bench.spec(), memoryBytes: 128 * MIB }, bench.signal);
    await vm.destroy();
    await drained(bench, toolstack);
  });

  it("refuses a pod that would not fit even then", async () => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(1) });
    bench.hypervisor.totalMemoryBytes = BigInt(180 * MIB);
    const toolstack = await filled(bench, 1);
    const spec = { ...bench.spec(), memoryBytes: 512 * MIB };
    await expect(toolstack.create(spec, bench.signal)).rejects.toMatchObject({
      code: "resource-exhausted",
    });
    await drained(bench, toolstack);
  });
});

it("a flavor that no host can hold is named once, and the others are made", async () => {
  const flavors = [
    { memory_mib: 4096, size: 1 },
    { memory_mib: 64, size: 1 },
  ];
  using bench = new ToolstackBench({ guest: "boots" }, { pool: { flavors } });
  const toolstack = await filled(bench, 1);
  const [impossible, possible] = toolstack.pool().kinds;
  expect(impossible).toMatchObject({ waiting: 0, making: 0, failures: 1 });
  expect(possible).toMatchObject({ waiting: 1, failures: 0 });
  await drained(bench, toolstack);
});

it("a guest that never becomes ready is given up and tried again later; pods are served", async () => {
  using bench = new ToolstackBench({ guest: "is silent" }, { pool: pool(1), bootSeconds: 1 });
  const toolstack = bench.toolstack();
  toolstack.start();
  await expect.poll(() => toolstack.pool().kinds[0]?.failures, wait).toBe(1);
  expect(toolstack.pool().heldBack).toBe("the last attempt failed");
  bench.behave({ guest: "boots" });
  const vm = await toolstack.create(bench.spec(), bench.signal);
  await vm.destroy();
  await expect.poll(() => waiting(toolstack), { timeout: 30_000 }).toBe(1);
  await drained(bench, toolstack);
}, 60_000);

describe("a shell that waits", () => {
  it("is not used after its kernel has been swapped", async () => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(1) });
    const toolstack = await filled(bench, 1);
    const [old] = bench.hypervisor.listDomains();
    writeFileSync(bench.paths.kernelUp, "another kernel");
    const vm = await toolstack.create(bench.spec(), bench.signal);
    const used = bench.hypervisor.listDomains().find(({ domid }) => domid === vm.domid);
    expect(used?.uuid).not.toBe(old?.uuid);
    expect(toolstack.pool()).toMatchObject({ discarded: { stale: 1 } });
    await vm.destroy();
    await drained(bench, toolstack);
  });

  it("is not used while its kernel is missing", async () => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(1) });
    const toolstack = await filled(bench, 1);
    rmSync(bench.paths.kernelUp);
    await expect(toolstack.create(bench.spec(), bench.signal)).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("vmlinux-up"),
    });
    await drained(bench, toolstack);
  });

  it("is replaced when its VMM dies or its domain is destroyed", async () => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(1) });
    const toolstack = await filled(bench, 1);
    const died = () => toolstack.pool().discarded.died;
    process.kill(bench.livingVmms()[0] ?? 0, "SIGKILL");
    await expect.poll(died, wait).toBe(1);
    await expect.poll(() => waiting(toolstack), wait).toBe(1);
    await bench.hypervisor.destroyDomain(bench.hypervisor.listDomains()[0]?.domid ?? 0);
    await expect.poll(died, wait).toBe(2);
    await expect.poll(() => waiting(toolstack), wait).toBe(1);
    await drained(bench, toolstack);
  });
});

describe("after a restart of lightvmd", () => {
  /** What the next lightvmd does before it serves anyone. */
  async function restarted(bench: ToolstackBench, settings?: object): Promise<LightvmToolstack> {
    const toolstack = bench.toolstack(settings);
    await toolstack.adoptShells(bench.signal);
    await toolstack.destroyOrphans(new Set());
    return toolstack;
  }

  it.each(SHELL_LEVELS)("%s shells are found again and serve", async (level) => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(2, level) });
    const before = await filled(bench, 2);
    const domains = bench.hypervisor.listDomains();
    await before.close();
    const toolstack = await restarted(bench);
    expect(bench.hypervisor.listDomains()).toEqual(domains);
    expect(waiting(toolstack)).toBe(2);
    const vm = await toolstack.create(bench.spec(), bench.signal);
    expect(domains.map(({ domid }) => domid)).toContain(vm.domid);
    await vm.destroy();
    toolstack.start();
    await drained(bench, toolstack);
  });

  it("shells that are not wanted any more, stale or half-made are destroyed", async () => {
    using bench = new ToolstackBench({ guest: "boots" }, { pool: pool(1) });
    await (await filled(bench, 1)).close();
    await restarted(bench, {});
    expect(bench.leftovers()).toEqual([]);

    await (await filled(bench, 1)).close();
    writeFileSync(bench.paths.initramfs, "another");
    await restarted(bench);
    expect(bench.leftovers()).toEqual([]);

    bench.behave({ guest: "is silent" });
    const dying = bench.toolstack();
    dying.start();
    const running = () => bench.hypervisor.listDomains().some((domain) => !domain.paused);
    await expect.poll(running, wait).toBe(true);
    await restarted(bench);
    await dying.close();
    expect(bench.leftovers()).toEqual([]);
  });
});
