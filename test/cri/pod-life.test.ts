// SPDX-License-Identifier: Apache-2.0
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  ContainerState,
  Signal as WireSignal,
} from "../../cri-proto/generated/runtime/v1/container.ts";
import { PodSandboxState } from "../../cri-proto/generated/runtime/v1/sandbox.ts";
import { CriServer } from "../../src/cri/server.ts";
import { CriClient } from "../harness/cri-client.ts";
import { NodeBench } from "../harness/node-bench.ts";

let bench: NodeBench;
let cri: CriClient;
beforeEach(async () => {
  bench = await NodeBench.start({ guest: "boots", runsContainers: true });
  cri = new CriClient(bench);
});
afterEach(async () => await bench[Symbol.asyncDispose]());

describe("a pod's life", () => {
  it("goes from run to remove and leaves nothing", async () => {
    const pod = await cri.runPod();
    expect((await cri.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_READY);
    expect(bench.toolstackBench.hypervisor.listDomains()).toHaveLength(1);
    const id = await cri.create(pod, { args: ["sleep"], labels: { tier: "back" } });
    expect((await cri.containerStatus(id)).state).toBe(ContainerState.CONTAINER_CREATED);
    await cri.start(id);
    const running = await cri.containerStatus(id);
    expect(running).toMatchObject({
      state: ContainerState.CONTAINER_RUNNING,
      labels: { tier: "back" },
      image: { image: "registry.test/busybox:1" },
      logPath: join(bench.endpoint.logDirectory, "main/0.log"),
      exitCode: 0,
    });
    expect(running.imageId).toBe(bench.images.get("registry.test/busybox:1")?.id);
    expect(running.startedAt).toBeGreaterThanOrEqual(running.createdAt);
    expect(readFileSync(running.logPath, "utf8")).toContain(id);
    const { stdout, exitCode } = await cri.exec(id, ["echo", "hello", "pod"]);
    expect([stdout.toString(), exitCode]).toEqual(["hello pod", 0]);
    await cri.stop(id, 5);
    expect(await cri.containerStatus(id)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 143,
      reason: "Error",
    });
    await cri.removeContainer(id);
    expect(await cri.containers()).toEqual([]);
    await cri.stopPod(pod);
    expect((await cri.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_NOTREADY);
    await cri.removePod(pod);
    expect(await cri.pods()).toEqual([]);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("removes a pod by force, with what runs in it", async () => {
    const pod = await cri.runPod();
    const id = await cri.create(pod, { args: ["sleep"] });
    await cri.start(id);
    await cri.removePod(pod);
    expect(await cri.containers()).toEqual([]);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("gives the containers of a stopped pod exit codes of their own", async () => {
    const pod = await cri.runPod();
    const id = await cri.create(pod, { args: ["sleep"] });
    await cri.start(id);
    await cri.stopPod(pod);
    expect(await cri.containerStatus(id)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 137,
    });
    await expect(cri.start(id)).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
    await expect(cri.create(pod, { name: "late" })).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
      details: expect.stringMatching(/is not ready: the pod's VM has ended/),
    });
  });

  it("stops and removes what is not there, twice, and by the beginning of an id", async () => {
    await cri.stopPod("none");
    await cri.removePod("none");
    await cri.stop("none", 0);
    await cri.removeContainer("none");
    const pod = await cri.runPod();
    const id = await cri.create(pod, { args: ["sleep"] });
    await cri.start(id.slice(0, 13));
    await cri.stop(id.slice(0, 13), 0);
    await cri.stop(id, 0);
    await Promise.all([cri.removeContainer(id), cri.removeContainer(id)]);
    await cri.removeContainer(id);
    await cri.stopPod(pod.slice(0, 13));
    await cri.stopPod(pod);
    await Promise.all([cri.removePod(pod), cri.removePod(pod)]);
    await cri.removePod(pod);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });
});

describe("how containers end", () => {
  it.each([
    [["exit", "0"], 0, "Completed"],
    [["exit", "3"], 3, "Error"],
    [["oom"], 137, "OOMKilled"],
  ])("%j", async (args, exitCode, reason) => {
    const pod = await cri.runPod();
    const id = await cri.create(pod, { args });
    await cri.start(id);
    await expect
      .poll(async () => await cri.containerStatus(id))
      .toMatchObject({ state: ContainerState.CONTAINER_EXITED, exitCode, reason });
    const { finishedAt, startedAt } = await cri.containerStatus(id);
    expect(startedAt).toBeGreaterThan(0n);
    expect(finishedAt).toBeGreaterThan(0n);
    await expect(cri.exec(id, ["echo"])).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
      details: expect.stringMatching(/it is exited, not running/),
    });
  });

  it("kills what does not heed the stop signal", async () => {
    const pod = await cri.runPod();
    const id = await cri.create(pod, { args: ["stubborn"] });
    await cri.start(id);
    await cri.stop(id, 1);
    expect((await cri.containerStatus(id)).exitCode).toBe(137);
  });

  it("sends the stop signal that was asked for", async () => {
    const pod = await cri.runPod();
    const id = await cri.create(pod, { args: ["sleep"], stopSignal: WireSignal.SIGNAL_SIGUSR1 });
    await cri.start(id);
    await cri.stop(id, 5);
    expect(await cri.containerStatus(id)).toMatchObject({
      exitCode: 128 + 10,
      stopSignal: WireSignal.SIGNAL_SIGUSR1,
    });
  });

  it("calls a start that fails StartError", async () => {
    const pod = await cri.runPod();
    const id = await cri.create(pod, { args: ["broken"] });
    await expect(cri.start(id)).rejects.toMatchObject({ details: "exec format error" });
    expect(await cri.containerStatus(id)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 128,
      reason: "StartError",
      message: "exec format error",
    });
  });

  it("keeps no container whose command is missing", async () => {
    const pod = await cri.runPod();
    await expect(cri.create(pod, { args: ["missing"] })).rejects.toMatchObject({
      details: 'the image has no "missing"',
    });
    expect(await cri.containers()).toEqual([]);
    await cri.create(pod, { args: ["sleep"] });
  });

  it("ends them all with 255 when the VMM is killed", async () => {
    const pod = await cri.runPod();
    const id = await cri.create(pod, { args: ["sleep"] });
    await cri.start(id);
    const [vmm] = bench.toolstackBench.livingVmms();
    process.kill(vmm ?? 0, "SIGKILL");
    await expect
      .poll(async () => (await cri.podStatus(pod)).state)
      .toBe(PodSandboxState.SANDBOX_NOTREADY);
    expect(await cri.containerStatus(id)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 255,
      message: expect.stringMatching(/the pod's VM has ended: the VMM process/),
    });
    await cri.removePod(pod);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });
});

describe("ExecSync", () => {
  let id: string;
  beforeEach(async () => {
    id = await cri.create(await cri.runPod(), { args: ["sleep"] });
    await cri.start(id);
  });

  it("returns the exit code", async () => {
    expect((await cri.exec(id, ["exit", "7"])).exitCode).toBe(7);
  });

  it("fails at once when the command is missing", async () => {
    await expect(cri.exec(id, ["missing"])).rejects.toMatchObject({
      details: 'the image has no "missing"',
    });
    await expect(cri.exec(id, [])).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
  });

  it("ends the command when its time is over", async () => {
    await expect(cri.exec(id, ["sleep"], 1)).rejects.toMatchObject({
      code: status.DEADLINE_EXCEEDED,
      details: "the command took longer than 1 s",
    });
    expect((await cri.exec(id, ["echo", "on"])).exitCode).toBe(0);
  });

  it("fails when the VM dies under the command", async () => {
    const running = cri.exec(id, ["sleep"]);
    running.catch(() => undefined);
    await cri.exec(id, ["echo"]);
    process.kill(bench.toolstackBench.livingVmms()[0] ?? 0, "SIGKILL");
    await expect(running).rejects.toMatchObject({
      code: status.UNAVAILABLE,
      details: expect.stringMatching(/the pod's VM has ended: the VMM process/),
    });
  });

  it("keeps what fits into a message and drops the rest", async () => {
    const { stdout, stderr, exitCode } = await cri.exec(id, ["flood", "20000000"]);
    expect(exitCode).toBe(0);
    expect(stdout.length).toBe(16_000_000);
    expect(stdout.length + stderr.length).toBeLessThanOrEqual(16 * 1024 * 1024);
    expect(stderr.length).toBeGreaterThan(700_000);
  });
});

describe("the server", () => {
  it("opens its socket to root alone", () => {
    expect(statSync(bench.socket).mode & 0o777).toBe(0o600);
  });

  it("refuses a second one on the same socket, and leaves the first alone", async () => {
    await expect(CriServer.listen(bench.context, bench.socket)).rejects.toMatchObject({
      code: "failed-precondition",
      message: expect.stringMatching(/another lightvmd serves on/),
    });
    await cri.pods();
  });

  it("says that it does not know what it does not have", async () => {
    await expect(cri.checkpoint("c")).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
  });
});
