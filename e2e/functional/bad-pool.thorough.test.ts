// SPDX-License-Identifier: Apache-2.0
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { EVENTUALLY, PoolUnderTest, poolSettings } from "../framework/pool-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

const MIB = 1024 * 1024;

/** A [[pool.flavors]] entry. */
const flavor = (memoryMib: number, size: number) =>
  `\n[[pool.flavors]]\nmemory_mib = ${memoryMib}\nsize = ${size}\nlevel = "prepared"\n`;

describe("a pool that cannot be what it is told to be", () => {
  let node: NodeUnderTest;
  let pool: PoolUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    pool = await PoolUnderTest.of(node);
  });
  afterAll(async () => {
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
    await node[Symbol.asyncDispose]();
  });
  afterEach(async () => await pool.empty());

  /** Also now a pod comes and goes. */
  async function servesAPod(name: string): Promise<void> {
    await node.crictl.removePod(await node.crictl.runPod({ name }));
  }

  const failures = async () =>
    (await pool.metrics()).kinds.reduce((sum, kind) => sum + kind.failures, 0);

  it("names a flavor that this host can never hold, and makes the others", async () => {
    const { daemon } = node;
    await daemon.reload(`${poolSettings(0)}${flavor(1024 * 1024, 1)}${flavor(32, 1)}`);
    await expect.poll(() => pool.waiting(), EVENTUALLY).toBe(1);
    expect(await failures()).toBe(1);
    expect(await daemon.log()).toMatch(/can never hold such a shell/);
    expect(await daemon.log()).toMatch(/and the host has \d+ MiB/);
    await servesAPod("beside-the-impossible");
  });

  it("stops where its budget ends, says so, and goes no further", async () => {
    const { daemon } = node;
    const settings = poolSettings(0).replace("memory_mib = 512", "memory_mib = 80");
    await daemon.reload(`${settings}${flavor(32, 5)}`);
    await expect.poll(async () => (await pool.metrics()).heldBack, EVENTUALLY).toMatch(/budget/);
    expect(await pool.waiting()).toBe(2);
    const { budgetBytes, heldBytes } = await pool.metrics();
    expect(heldBytes).toBeLessThanOrEqual(budgetBytes);
    expect(await daemon.log()).toMatch(/the pool is not refilled further/);
    await servesAPod("beside-a-full-budget");
  });

  it("stops where Xen has no memory for another shell; a pod pushes shells out", async () => {
    const { crictl, daemon } = node;
    const settings = poolSettings(0).replace("memory_mib = 512", "memory_mib = 65536");
    // One needs so much to be free, and takes little of it at first: some fit.
    await daemon.reload(`${settings}${flavor(1536, 40)}`);
    await expect.poll(async () => (await pool.metrics()).heldBack, EVENTUALLY).toMatch(/Xen has/);
    expect(await pool.waiting()).toBeGreaterThan(0);
    expect(await failures()).toBe(0);
    const linux = { resources: { memory_limit_in_bytes: 1600 * MIB } };
    await crictl.removePod(await crictl.runPod({ name: "large", linux }));
    expect((await pool.metrics()).discarded.memory).toBeGreaterThan(0);
  });

  it("gives up a guest that never gets ready, tries again later, and leaves nothing", async () => {
    const { daemon } = node;
    const broken = poolSettings(1).replace("[vm]", '[vm]\nkernel_arguments = "rdinit=/none"');
    await daemon.end();
    await daemon.start({ config: broken });
    await expect.poll(failures, EVENTUALLY).toBeGreaterThanOrEqual(2);
    expect(await pool.waiting()).toBe(0);
    expect(await daemon.log()).toMatch(/a shell for the pool could not be made/);
    await daemon.end();
    await daemon.start({ config: poolSettings(0) });
  });

  it("keeps the configuration before when the new one is nonsense", async () => {
    const { daemon } = node;
    await pool.fill(1, "prepared");
    await daemon.reload(poolSettings(0).replace("size = 0", "size = -3"));
    await expect.poll(() => daemon.log(), EVENTUALLY).toMatch(/is not taken over/);
    expect(await pool.waiting()).toBe(1);
  });
});
