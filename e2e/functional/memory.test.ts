// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";
import { dumpDomains } from "../framework/traces.ts";

const MIB = 1024 * 1024;
const MEBIBYTE_PAGES = 256;

let node: NodeUnderTest;
beforeAll(async () => {
  node = await NodeUnderTest.start();
});
afterAll(async () => await node[Symbol.asyncDispose]());

describe("the memory of a pod without a limit", () => {
  let pod: PodUnderTest;
  let container: string;

  /** Mebibytes that Xen has given to the pod's domain, the newest. */
  const given = async () => ((await dumpDomains(node.box)).at(-1)?.pages ?? 0) / MEBIBYTE_PAGES;

  beforeAll(async () => {
    pod = await PodUnderTest.run(node, { name: "memory" });
    const command = ["sh", "-c", "trap exit TERM; sleep 10000 & wait"];
    container = await pod.start({ name: "idle", command });
  });
  afterAll(async () => {
    await pod.remove();
  });

  it("is what a small pod needs at first", async () => {
    // 20, what the devices share, and one large page if the kernel has begun to reclaim.
    expect(await given()).toBeLessThanOrEqual(24);
  });

  it("shows programs what they may use, not what is there", async () => {
    const { stdout } = await node.crictl.exec(container, ["grep", "MemTotal", "/proc/meminfo"]);
    expect(Number(/\d+/.exec(stdout)?.[0])).toBeGreaterThan(50 * 1024);
  });

  it("does not bound by its first few MiB how many processes there may be", async () => {
    const limits = "ulimit -u; cat /proc/sys/kernel/threads-max";
    const { stdout } = await node.crictl.exec(container, ["sh", "-c", limits]);
    expect(stdout).toBe("unlimited\n32768\n");
  });

  it("grows with what the pod uses", async () => {
    const before = await given();
    const fill = "dd if=/dev/urandom of=/dev/shm/fill bs=1M count=20";
    expect(await node.crictl.exec(container, ["sh", "-c", fill])).toMatchObject({ code: 0 });
    expect(await given()).toBeGreaterThan(before + 8);
  });

  it("ends where the pod's size ends, and the pod goes on, also with its disk", async () => {
    const sum = async () =>
      (await node.crictl.exec(container, ["busybox", "md5sum", "/bin/busybox"])).stdout;
    const before = await sum();
    const much = "dd if=/dev/zero of=/dev/shm/much bs=1M count=200";
    expect((await node.crictl.exec(container, ["sh", "-c", much])).code).not.toBe(0);
    expect(await given()).toBeLessThanOrEqual(65);
    await node.crictl.exec(container, ["rm", "-f", "/dev/shm/much", "/dev/shm/fill"]);
    // Nothing of the image is in memory any more: it is read anew, to where the guest has grown.
    expect(await sum()).toBe(before);
    expect(before).toMatch(/^[0-9a-f]{32} /);
  });
});

it("a pod's limit is all for its containers: the VM has room for itself beside it", async () => {
  const linux = { resources: { memory_limit_in_bytes: 32 * MIB } };
  const pod = await PodUnderTest.run(node, { name: "limited", linux });
  const id = await pod.start({ name: "c", command: ["sleep", "1000"], linux });
  // One process with nearly all of it in one buffer; /dev/shm would hold half of the VM's at the most.
  const fill = ["dd", "if=/dev/zero", "of=/dev/null", "bs=29M", "count=1"];
  try {
    expect(await node.crictl.exec(id, fill)).toMatchObject({ code: 0 });
  } finally {
    await pod.remove();
  }
});
