// SPDX-License-Identifier: Apache-2.0
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

describe("a host that cannot run a pod gives a clear answer:", () => {
  let node: NodeUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
  });
  afterAll(async () => await node[Symbol.asyncDispose]());
  afterEach(async () => expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore));

  it("less free Xen memory than the pod needs", async () => {
    const pod = { name: "huge", linux: { resources: { memory_limit_in_bytes: 1024 ** 4 } } };
    const message = await node.crictl.refusedPod(pod);
    expect(message).toMatch(/ResourceExhausted.*Xen has \d+ MiB free/s);
  });

  it("a guest that panics at boot", async () => {
    await node.daemonWith({ config: '[vm]\nkernel_arguments = "rdinit=/none"\n' }, async () => {
      const message = await node.crictl.refusedPod({ name: "panics" });
      expect(message).toMatch(/Unavailable.*Kernel panic/s);
    });
  });

  it("no guest kernel", async () => {
    const files = "/run/without-kernel";
    await node.box.exec(`cp -a /usr/lib/lightvm/. ${files} && rm ${files}/guest/vmlinux-up`);
    await node.daemonWith({ config: `library_directory = "${files}"\n` }, async () => {
      expect(await node.crictl.refusedPod({ name: "no-kernel" })).toMatch(/vmlinux-up/);
    });
    await node.box.exec(`rm -rf ${files}`);
  });
});
