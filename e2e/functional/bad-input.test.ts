// SPDX-License-Identifier: Apache-2.0
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

describe("bad input gets a clear answer", () => {
  let node: NodeUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    await node.crictl.must(["pull", node.busybox], 120_000);
  });
  afterAll(async () => await node[Symbol.asyncDispose]());
  afterEach(async () => expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore));

  /** Runs the daemon with another configuration for the time of `work`. */
  async function withConfig(config: string, work: () => Promise<void>): Promise<void> {
    await node.daemon.end();
    await node.daemon.start({ config });
    try {
      await work();
    } finally {
      await node.daemon.end();
      await node.daemon.start();
    }
  }

  it("an unknown image", async () => {
    const { code, stderr } = await node.crictl.run(["pull", `${node.registry.host}/nothing:here`]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/NotFound.*nothing/s);
  });

  it("a registry that is not there", async () => {
    const { code, stderr } = await node.crictl.run(["pull", "127.0.0.1:5999/busybox:latest"]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/Unavailable.*127\.0\.0\.1:5999/s);
  });

  it("a blob that is not what its digest says", async () => {
    const extra = [{ name: "etc/mark", content: "to be damaged" }];
    const image = await node.busyboxImage({ extra });
    const reference = await node.registry.push("corrupt", "latest", image);
    const layer = image.blobs.at(-1);
    if (layer === undefined) throw new Error("the image has no layer");
    await node.registry.damage(layer);
    const { code, stderr } = await node.crictl.run(["pull", reference]);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/DataLoss/);
    expect(await node.crictl.must(["images"])).not.toContain("corrupt");
  });

  it("a command that the image does not have", async () => {
    const pod = { name: "no-command" };
    const sandbox = await node.crictl.runPod(pod);
    const container = { name: "lost", image: node.busybox, command: ["/bin/not-there"] };
    const message = await node.crictl.refusedContainer(sandbox, container, pod);
    expect(message).toMatch(/not-there/);
    await node.crictl.removePod(sandbox);
  });

  it("more memory than Xen has", async () => {
    const pod = { name: "huge", linux: { resources: { memory_limit_in_bytes: 1024 ** 4 } } };
    expect(await node.crictl.refusedPod(pod)).toMatch(/ResourceExhausted.*memory/s);
  });

  it("a guest that panics at boot", async () => {
    await withConfig('[vm]\nkernel_arguments = "rdinit=/not-there"\n', async () => {
      const message = await node.crictl.refusedPod({ name: "panics" });
      expect(message).toMatch(/Unavailable.*panic/is);
    });
  });

  it("no guest kernel", async () => {
    const files = "/run/without-kernel";
    await node.box.exec(`cp -a /usr/lib/lightvm/. ${files} && rm ${files}/guest/vmlinux-up`);
    await withConfig(`library_directory = "${files}"\n`, async () => {
      expect(await node.crictl.refusedPod({ name: "no-kernel" })).toMatch(/vmlinux-up/);
    });
    await node.box.exec(`rm -rf ${files}`);
  });
});
