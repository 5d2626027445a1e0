// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { Box } from "../box/box.ts";
import { testBusybox } from "../framework/box-for-tests.ts";
import { Crictl, crictlCommand } from "../framework/crictl.ts";
import { Daemon } from "../framework/daemon.ts";
import { busyboxImage } from "../framework/oci-image.ts";
import { poolSettings } from "../framework/pool-under-test.ts";
import { Registry } from "../framework/registry.ts";
import { tracesOfPods } from "../framework/traces.ts";

/** A machine of its own: the power of the other tests' stays on. */
describe("a node whose power was cut", () => {
  const pod = { name: "before" };
  let box: Box;
  let crictl: Crictl;
  let daemon: Daemon;
  let busybox: string;
  let cutShort: string;
  let traces: readonly string[];

  /** Both images in a registry, whose process ends with the power. */
  async function serveImages(): Promise<void> {
    const registry = await Registry.start(box);
    const binary = await testBusybox();
    busybox = await registry.push("busybox", "latest", await busyboxImage(binary));
    const extra = [{ name: "etc/cut", content: "whole" }];
    cutShort = await registry.push("cut", "latest", await busyboxImage(binary, { extra }));
  }

  beforeAll(async () => {
    const library = await nodeLibrary();
    box = await Box.up({ name: "power", library, memoryMib: 2048, dom0MemoryMib: 1024 });
    crictl = new Crictl(box);
    daemon = new Daemon(box);
    await serveImages();
    await daemon.start();
    traces = await tracesOfPods(box);
    await crictl.must(["pull", busybox], 120_000);
  });
  afterAll(async () => await box.down());

  const container = (name: string, command: string) => ({
    name,
    image: busybox,
    command: ["sh", "-c", command],
  });

  it("tells what has ended with the power, and what had before", async () => {
    const sandbox = await crictl.runPod(pod);
    const running = await crictl.start(sandbox, container("running", "exec sleep 1000"), pod);
    const ended = await crictl.start(sandbox, container("ended", "exit 3"), pod);
    const created = await crictl.create(sandbox, container("created", "exec sleep 1000"), pod);
    await expect
      .poll(() => crictl.containerStatus(ended), { timeout: 30_000 })
      .toMatchObject({ state: "CONTAINER_EXITED", exitCode: 3 });

    await box.powerCycle();
    await daemon.start();
    expect((await crictl.podStatus(sandbox)).state).toBe("SANDBOX_NOTREADY");
    expect(await crictl.containerStatus(running)).toMatchObject({
      state: "CONTAINER_EXITED",
      exitCode: 255,
    });
    // It never ran, and never will: its sandbox is not ready.
    expect((await crictl.containerStatus(created)).state).toBe("CONTAINER_CREATED");
    expect((await crictl.run(["start", created])).code).not.toBe(0);
    expect(await crictl.containerStatus(ended)).toMatchObject({
      state: "CONTAINER_EXITED",
      exitCode: 3,
    });
    await crictl.removePod(sandbox);
    expect(await tracesOfPods(box)).toEqual(traces);
  });

  it("has the images that it had, and none of which it has only a part", async () => {
    await serveImages();
    const pull = crictlCommand(["pull", cutShort]);
    await box.exec(`${pull} >/dev/null 2>&1 & sleep 0.5`);
    await box.powerCycle();
    await daemon.start();
    const has = async (image: string) => (await crictl.images(image)).length === 1;
    expect(await has(busybox)).toBe(true);
    if (!(await has(cutShort))) {
      await serveImages();
      await crictl.must(["pull", cutShort], 120_000);
    }
    const sandbox = await crictl.runPod(pod);
    const whole = { ...container("whole", "exec sleep 1000"), image: cutShort };
    const id = await crictl.start(sandbox, whole, pod);
    expect((await crictl.exec(id, ["cat", "/etc/cut"])).stdout).toBe("whole");
    await crictl.removePod(sandbox);
    expect(await tracesOfPods(box)).toEqual(traces);
  });

  it("has nothing of a pool that was being filled, and fills it anew", async () => {
    const shells = async () => (await box.exec("ls /run/lightvm/shells")).stdout.trim();
    await daemon.end();
    await daemon.start({ config: poolSettings(8) });
    // One that does not wait yet has no level in its record.
    const unfinished = "grep -sL level /run/lightvm/shells/*/shell.json | grep -q .";
    const seen = await box.exec(`timeout 60 sh -c 'until ${unfinished}; do :; done'`);
    expect(seen.code).toBe(0);
    const before = await shells();
    await box.powerCycle();
    await daemon.start({ config: poolSettings(1) });
    const waiting = async () =>
      (await box.exec("grep -l level /run/lightvm/shells/*/shell.json")).stdout.trim();
    await expect.poll(waiting, { timeout: 60_000, interval: 500 }).not.toBe("");
    expect(before).not.toContain(await shells());
    await daemon.reload(poolSettings(0));
    await expect.poll(shells, { timeout: 60_000, interval: 500 }).toBe("");
    expect(await tracesOfPods(box)).toEqual(traces);
  });
});
