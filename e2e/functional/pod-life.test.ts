// SPDX-License-Identifier: Apache-2.0
import { basename } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { dumpDomains, tracesOfPods } from "../framework/traces.ts";

describe("the life of a pod", () => {
  let node: NodeUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    await node.crictl.must(["pull", node.busybox], 120_000);
  });
  afterAll(async () => await node[Symbol.asyncDispose]());

  it("runs a container in a Xen domain of its own and leaves nothing behind", async () => {
    const { box, crictl } = node;
    const pod = { name: "life" };
    const before = await dumpDomains(box);
    const sandbox = await crictl.runPod(pod);

    const fresh = (await dumpDomains(box)).filter(
      ({ domid }) => !before.some((old) => old.domid === domid),
    );
    expect(fresh).toHaveLength(1);
    // Hardware-assisted paging and no emulator: PVH. The handle is ours.
    expect(fresh[0]?.paging).toContain("hap");
    const shell = (await box.exec(`readlink /run/lightvm/pods/${sandbox}`)).stdout.trim();
    expect(fresh[0]?.handle).toBe(`4c564d31${basename(shell)}`);

    const container = {
      name: "talker",
      image: node.busybox,
      command: ["sh", "-c", "echo out; echo err >&2; exec sleep 1000"],
    };
    const id = await crictl.start(sandbox, container, pod);
    const uname = await crictl.exec(id, ["uname", "-r"]);
    expect(uname).toMatchObject({ code: 0, stderr: "" });
    expect(uname.stdout.trim()).not.toBe((await box.exec("uname -r")).stdout.trim());
    expect(await crictl.must(["logs", id])).toContain("out");
    const raw = await node.crictl.rawLog(container, pod);
    expect(raw).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:\d\d) stdout F out$/m);
    expect(raw).toMatch(/ stderr F err$/m);

    await crictl.must(["stop", "--timeout", "1", id]);
    expect(await crictl.containerStatus(id)).toMatchObject({
      state: "CONTAINER_EXITED",
      exitCode: 137,
    });
    await crictl.must(["rm", id]);
    await crictl.removePod(sandbox);
    expect(await tracesOfPods(box)).toEqual(node.tracesBefore);
  });
});
