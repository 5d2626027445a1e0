// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

describe("sudden death", () => {
  let node: NodeUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    await node.crictl.must(["pull", node.busybox], 120_000);
  });
  afterAll(async () => await node[Symbol.asyncDispose]());

  it("of lightvmd loses no pod, no line of a log, and no exit code", async () => {
    const { box, crictl, daemon } = node;
    const pod = { name: "survivor" };
    const sandbox = await crictl.runPod(pod);
    const script = "i=0; while [ $i -lt 8 ]; do echo line $i; i=$((i+1)); sleep 1; done; exit 3";
    const container = { name: "counter", image: node.busybox, command: ["sh", "-c", script] };
    const id = await crictl.start(sandbox, container, pod);
    await daemon.end("KILL");
    // The container goes on and ends while nobody is there: its last line comes from the VMM.
    const log = "/var/log/pods/default_survivor/counter_0.log";
    await box.exec(`timeout 60 sh -c 'tail -n +1 -f ${log} | grep -q -m 1 "line 7"'`);
    await daemon.start();
    expect((await crictl.podStatus(sandbox)).state).toBe("SANDBOX_READY");
    const lines = await crictl.rawLog(container, pod);
    expect([...lines.matchAll(/line (\d)/g)].map(([, n]) => n).join("")).toBe("01234567");
    await expect
      .poll(() => crictl.containerStatus(id), { timeout: 30_000 })
      .toMatchObject({ state: "CONTAINER_EXITED", exitCode: 3, reason: "Error" });
    await crictl.removePod(sandbox);
    expect(await tracesOfPods(box)).toEqual(node.tracesBefore);
  });

  it("of a VMM ends its pod only, and the pod can be removed", async () => {
    const { box, crictl } = node;
    const [victim, other] = [{ name: "victim" }, { name: "other" }];
    const sandbox = await crictl.runPod(victim);
    const container = { name: "sleeper", image: node.busybox, command: ["sleep", "1000"] };
    const id = await crictl.start(sandbox, container, victim);
    const pid = (await box.exec("pgrep -x lightvm-vmm")).stdout.trim();
    const neighbour = await crictl.runPod(other);
    await box.exec(`kill -KILL ${pid}`);
    await expect
      .poll(async () => (await crictl.podStatus(sandbox)).state, { timeout: 30_000 })
      .toBe("SANDBOX_NOTREADY");
    expect(await crictl.containerStatus(id)).toMatchObject({
      state: "CONTAINER_EXITED",
      exitCode: 255,
    });
    expect((await crictl.podStatus(neighbour)).state).toBe("SANDBOX_READY");
    await crictl.removePod(sandbox);
    await crictl.removePod(neighbour);
    expect(await tracesOfPods(box)).toEqual(node.tracesBefore);
  });
});
