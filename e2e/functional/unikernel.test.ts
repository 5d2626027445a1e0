// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { unikernels } from "../../native/build/unikernels.ts";
import type { SignOfLife } from "../../src/image/unikernel.ts";
import { unikernelImage } from "../../src/image/unikernel-image.ts";
import { pvhKernel } from "../../test/harness/pvh-kernel.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

const ANNOTATIONS = { "io.lightvm/unikernel": "true" };

interface ContainerStats {
  readonly stats: readonly { readonly memory: { readonly workingSetBytes: { value: string } } }[];
}

describe("a unikernel pod", () => {
  let node: NodeUnderTest;
  let noop: string;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    await node.crictl.must(["pull", node.busybox], 120_000);
    noop = await push("noop", await readFile(join(await unikernels(), "noop")), "sysctl");
  });
  afterAll(async () => await node[Symbol.asyncDispose]());

  async function push(
    name: string,
    kernel: Buffer,
    signOfLife: SignOfLife,
    commandLine: string = "",
  ): Promise<string> {
    const memoryBytes = 2 ** 21;
    const network = commandLine.includes("{address}") ? "virtio" : "none";
    const unikernel = {
      kernel: `/${name}`,
      commandLine,
      memoryBytes,
      signOfLife,
      network,
    } as const;
    const image = await node.registry.push(name, "1", unikernelImage(kernel, unikernel));
    await node.crictl.must(["pull", image], 120_000);
    return image;
  }
  const statusOf = async (id: string) => await node.crictl.containerStatus(id);

  it("runs noop, keeps its console as log, stops in time, restarts, and leaves nothing", async () => {
    const { box, crictl } = node;
    const pod = { name: "noop", annotations: ANNOTATIONS };
    const sandbox = await crictl.runPod(pod);
    const container = { name: "noop", image: noop };
    const first = await crictl.start(sandbox, container, pod);
    expect(await statusOf(first)).toMatchObject({ state: "CONTAINER_RUNNING" });
    await expect.poll(() => crictl.rawLog(container, pod)).toMatch(/Z stdout F noop: alive$/m);
    const { stats } = await crictl.json<ContainerStats>(["stats", "--id", first]);
    expect(Number(stats[0]?.memory.workingSetBytes.value)).toBeGreaterThanOrEqual(2 ** 21);

    await crictl.must(["stop", "--timeout", "30", first]);
    expect(await statusOf(first)).toMatchObject({
      state: "CONTAINER_EXITED",
      exitCode: 0,
      reason: "Completed",
    });
    expect(await crictl.rawLog(container, pod)).toMatch(/noop: powering off$/m);

    const second = await crictl.start(sandbox, { ...container, attempt: 1 }, pod);
    expect(await statusOf(second)).toMatchObject({ state: "CONTAINER_RUNNING" });
    await crictl.removePod(sandbox);
    expect(await tracesOfPods(box)).toEqual(node.tracesBefore);
  });

  it("tells the time over the pod network, to many callers and after a restart", async () => {
    const { box, crictl } = node;
    const line = "ip={address} gateway={gateway}";
    const kernel = await readFile(join(await unikernels(), "daytime"));
    const image = await push("daytime", kernel, "sysctl", line);
    const pod = { name: "daytime", annotations: ANNOTATIONS };
    const sandbox = await crictl.runPod(pod);
    const { network } = await crictl.podStatus(sandbox);
    const ask = `busybox nc -w 20 ${network.ip} 13 </dev/null`;
    for (const attempt of [0, 1]) {
      const container = { name: "daytime", image, attempt };
      const id = await crictl.start(sandbox, container, pod);
      const before = Number((await box.exec("date +%s")).stdout);
      const { stdout } = await box.exec(`for i in 1 2 3 4 5 6 7 8 9 10 11 12; do ${ask}; done`);
      const answers = stdout.trim().split("\r\n");
      expect(answers).toHaveLength(12);
      for (const answer of answers) {
        const text = /^\w+day, (\w+ \d+, \d{4} [\d:]{8})-UTC$/.exec(answer)?.[1];
        const seconds = Date.parse(`${text} UTC`) / 1000;
        expect(Math.abs(seconds - before)).toBeLessThan(60);
      }
      await crictl.must(["stop", "--timeout", "30", id]);
      expect(await statusOf(id)).toMatchObject({ exitCode: 0, reason: "Completed" });
    }
    await crictl.removePod(sandbox);
    expect(await tracesOfPods(box)).toEqual(node.tracesBefore);
  });

  it("refuses exec, a second container, and an image that is no unikernel", async () => {
    const { crictl } = node;
    const pod = { name: "refusals", annotations: ANNOTATIONS };
    const sandbox = await crictl.runPod(pod);
    const id = await crictl.start(sandbox, { name: "noop", image: noop }, pod);
    const { code, stderr } = await crictl.exec(id, ["true"]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("which have no processes");
    const second = await crictl.refusedContainer(sandbox, { name: "second", image: noop }, pod);
    expect(second).toContain("holds one container at a time");
    await crictl.must(["stop", "--timeout", "30", id]);
    const wrong = { name: "wrong", image: node.busybox };
    expect(await crictl.refusedContainer(sandbox, wrong, pod)).toContain("is not a unikernel");
    await crictl.removePod(sandbox);
  });

  // In protected mode with interrupts off, HLT ends the vCPU and UD2 without a handler resets it.
  it.each([
    ["halts", Buffer.of(0xfa, 0xf4), { exitCode: 0, reason: "Completed" }],
    ["crashes", Buffer.of(0x0f, 0x0b), { exitCode: 134, reason: "Error" }],
  ])("runs a kernel that knows nothing of us and %s", async (name, code, exit) => {
    const { crictl } = node;
    const image = await push(name, pvhKernel({ code }), "none");
    const pod = { name, annotations: ANNOTATIONS };
    const sandbox = await crictl.runPod(pod);
    const id = await crictl.start(sandbox, { name, image }, pod);
    await expect
      .poll(() => statusOf(id), { timeout: 60_000, interval: 500 })
      .toMatchObject({ state: "CONTAINER_EXITED", ...exit });
    await crictl.removePod(sandbox);
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });

  it("is packed by lightvm itself", async () => {
    const { stdout, code } = await node.box.exec(
      "cd /tmp && lightvm unikernel pack /usr/lib/lightvm/guest/noop -o noop.tar && tar -tf noop.tar; rm noop.tar",
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/oci-layout\nindex\.json\nblobs\/sha256\/[0-9a-f]{64}$/m);
  });
});
