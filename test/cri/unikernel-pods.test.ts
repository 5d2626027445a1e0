// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ContainerState } from "../../cri-proto/generated/runtime/v1/container.ts";
import { PodSandboxState } from "../../cri-proto/generated/runtime/v1/sandbox.ts";
import { call } from "../harness/cri-call.ts";
import { CriClient } from "../harness/cri-client.ts";
import { NodeBench } from "../harness/node-bench.ts";
import { NodeProcess } from "../harness/node-process.ts";

const HANDLER = "lightvm-unikernel";
const NOOP = { image: { image: "registry.test/noop:1" } };

let bench: NodeBench;
let cri: CriClient;
beforeEach(async () => {
  bench = await NodeBench.start({ guest: "is alive" });
  cri = new CriClient(bench);
});
afterEach(async () => await bench[Symbol.asyncDispose]());

const domains = () => bench.toolstackBench.hypervisor.listDomains();

describe("a pod of unikernels", () => {
  it("waits as a shell, boots the image's kernel, restarts, and leaves nothing", async () => {
    const pod = await cri.runPod({ hostname: "web-0" }, HANDLER);
    expect((await cri.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_READY);
    const [waiting] = domains();
    const first = await cri.create(pod, { ...NOOP, args: ["verbose"] });
    await cri.start(first);
    expect(domains()).toEqual([{ ...waiting, paused: false }]);
    const running = await cri.containerStatus(first);
    expect(running.state).toBe(ContainerState.CONTAINER_RUNNING);
    expect(readFileSync(running.logPath, "utf8")).toBe("name=web-0 ip=10.0.0.2/24 verbose\n");

    const metrics = await bench.context.metrics.registry.metrics();
    expect(metrics).toContain('lightvmd_guest_boot_seconds_count{guest="unikernel"} 1');

    await cri.stop(first, 5);
    expect(await cri.containerStatus(first)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 0,
      reason: "Completed",
    });
    expect((await cri.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_READY);
    expect(bench.toolstackBench.leftovers()).toEqual([]);

    const second = await cri.create(pod, { ...NOOP, attempt: 1 });
    await cri.start(second);
    expect((await cri.containerStatus(second)).state).toBe(ContainerState.CONTAINER_RUNNING);
    await cri.removePod(pod);
    expect(await cri.pods()).toEqual([]);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("is asked for by an annotation as well", async () => {
    const pod = await cri.runPod({ annotations: { "io.lightvm/unikernel": "true" } }, "lightvm");
    await cri.start(await cri.create(pod, NOOP));
    await cri.stopPod(pod);
    expect((await cri.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_NOTREADY);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("is killed when it does not power off in time", async () => {
    bench.toolstackBench.behave({ guest: "is alive", ignoresShutdown: true });
    const pod = await cri.runPod({}, HANDLER);
    const id = await cri.create(pod, NOOP);
    await cri.start(id);
    await cri.stop(id, 1);
    expect(await cri.containerStatus(id)).toMatchObject({ exitCode: 137, reason: "Error" });
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("says why a kernel did not start", async () => {
    bench.toolstackBench.behave({ guest: "panics" });
    const pod = await cri.runPod({}, HANDLER);
    const id = await cri.create(pod, NOOP);
    await expect(cri.start(id)).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: expect.stringContaining("the guest panicked"),
    });
    expect(await cri.containerStatus(id)).toMatchObject({ exitCode: 128, reason: "StartError" });
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("counts what Xen counts", async () => {
    const pod = await cri.runPod({}, HANDLER);
    const id = await cri.create(pod, NOOP);
    await cri.start(id);
    const { runtime } = bench.endpoint;
    const { stats } = await call(runtime, runtime.containerStats, { containerId: id });
    expect(stats?.memory?.workingSetBytes?.value).toBe(2n << 20n);
    // Nobody counts these: to say 0 would be a lie.
    const uncounted = { writableLayer: undefined, swap: undefined };
    expect(stats).toMatchObject(uncounted);
    expect(stats?.memory?.pageFaults).toBeUndefined();
    const whole = await call(runtime, runtime.podSandboxStats, { podSandboxId: pod });
    const none = { network: undefined, process: undefined };
    expect(whole.stats?.linux).toMatchObject({ ...none, containers: [uncounted] });
  });

  it("refuses what has no place in it, by name", async () => {
    const pod = await cri.runPod({}, HANDLER);
    await expect(cri.create(pod, { args: ["sleep"] })).rejects.toMatchObject({
      details: expect.stringContaining("is not a unikernel"),
    });
    await expect(cri.create(pod, { ...NOOP, tty: true })).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
      details: expect.stringContaining("no terminal"),
    });
    const mounts = [{ containerPath: "/data", hostPath: "/tmp" }];
    await expect(cri.create(pod, { ...NOOP, mounts })).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
      details: expect.stringContaining('a volume is wanted at "/data"'),
    });
    const devices = [{ containerPath: "/dev/x", hostPath: "/dev/sda", permissions: "r" }];
    await expect(cri.create(pod, { ...NOOP, devices })).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
      details: expect.stringContaining('the host device "/dev/sda" is wanted'),
    });
    const id = await cri.create(pod, {
      ...NOOP,
      mounts: [{ containerPath: "/etc/hosts", hostPath: "/etc/hosts" }],
    });
    await expect(cri.create(pod, { ...NOOP, name: "second" })).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
      details: expect.stringContaining('one container at a time, and "main" is there'),
    });
    await cri.start(id);
    await expect(cri.exec(id, ["true"])).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
      details: expect.stringContaining("unikernels, which have no processes"),
    });
  });

  it("does not fit into a pod that says nothing of unikernels", async () => {
    bench.toolstackBench.behave({ guest: "boots", runsContainers: true });
    const pod = await cri.runPod();
    await expect(cri.create(pod, NOOP)).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringContaining('runtimeClassName "lightvm-unikernel"'),
    });
  });

  it("has no room for a kernel that needs more than the pod may have", async () => {
    const resources = { memoryLimitInBytes: 1n << 20n };
    const pod = await cri.runPod({ linux: { resources } }, HANDLER);
    await expect(cri.create(pod, NOOP)).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
      details: expect.stringContaining("needs 2097152 bytes"),
    });
  });
});

describe("a restart of lightvmd", () => {
  let node: NodeProcess;
  let client: CriClient;
  beforeEach(async () => {
    node = await NodeProcess.start({ guest: "is alive" });
    client = new CriClient(node);
  });
  afterEach(async () => await node[Symbol.asyncDispose]());

  it("finds a unikernel that runs, and its end", async () => {
    const pod = await client.runPod({}, HANDLER);
    const id = await client.create(pod, NOOP);
    await client.start(id);
    const before = await client.containerStatus(id);
    await node.kill();
    await node.revive();
    expect(await client.containerStatus(id)).toEqual(before);
    await client.stop(id, 5);
    expect(await client.containerStatus(id)).toMatchObject({ exitCode: 0, reason: "Completed" });
    await client.removePod(pod);
    expect(node.toolstackBench.leftovers()).toEqual([]);
  });

  it("gives a pod that waited a new shell", async () => {
    const pod = await client.runPod({}, HANDLER);
    const id = await client.create(pod, NOOP);
    await node.kill();
    await node.revive();
    expect(node.toolstackBench.leftovers()).toEqual([]);
    expect((await client.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_READY);
    await client.start(id);
    expect((await client.containerStatus(id)).state).toBe(ContainerState.CONTAINER_RUNNING);
    await client.removePod(pod);
    expect(node.toolstackBench.leftovers()).toEqual([]);
  });

  it("tells of a unikernel that was killed meanwhile", async () => {
    const pod = await client.runPod({}, HANDLER);
    const id = await client.create(pod, NOOP);
    await client.start(id);
    await node.kill();
    for (const pid of node.toolstackBench.livingVmms()) process.kill(pid, "SIGKILL");
    await node.revive();
    expect(await client.containerStatus(id)).toMatchObject({ exitCode: 255, reason: "Error" });
    expect((await client.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_READY);
    await client.removePod(pod);
    expect(node.toolstackBench.leftovers()).toEqual([]);
  });
});
