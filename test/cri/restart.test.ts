// SPDX-License-Identifier: Apache-2.0
//
// lightvmd is killed, at rest and in the middle of each verb; the next one must lose nothing and
// leave nothing. The middle of a verb is made by writing the records that it leaves at that point.
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { ContainerState } from "../../cri-proto/generated/runtime/v1/container.ts";
import { PodSandboxState } from "../../cri-proto/generated/runtime/v1/sandbox.ts";
import { NEW_CONTAINER } from "../../src/pod/container-record.ts";
import { newId } from "../../src/pod/pods.ts";
import { NEW_SANDBOX } from "../../src/pod/sandbox-record.ts";
import { readJournal } from "../../src/toolstack/journal.ts";
import { CriClient } from "../harness/cri-client.ts";
import { FakeNetwork } from "../harness/fake-network.ts";
import { NodeProcess } from "../harness/node-process.ts";

let bench: NodeProcess;
let cri: CriClient;
let pod: string;
beforeEach(async () => {
  bench = await NodeProcess.start({ guest: "boots", runsContainers: true });
  cri = new CriClient(bench);
  pod = await cri.runPod();
});
afterEach(async () => await bench[Symbol.asyncDispose]());

function sandboxRecord() {
  const [record] = bench.edit((store) => store.readSandboxes());
  if (record === undefined) throw new Error("there is no sandbox record");
  return record;
}
function containerRecord() {
  const [record] = bench.edit((store) => store.readContainers());
  if (record === undefined) throw new Error("there is no container record");
  return record;
}

describe("a restart at rest", () => {
  it("finds pods and containers as they were, and can do everything with them", async () => {
    const created = await cri.create(pod, { name: "created" });
    const running = await cri.create(pod, { name: "running" });
    const exited = await cri.create(pod, { name: "exited", args: ["exit", "9"] });
    await cri.start(running);
    await cri.start(exited);
    await expect.poll(async () => (await cri.containerStatus(exited)).exitCode).toBe(9);
    const ids = [created, running, exited];
    const before = await Promise.all(ids.map((id) => cri.containerStatus(id)));
    const [domain] = bench.toolstackBench.hypervisor.listDomains();
    await bench.kill();
    await bench.revive();

    expect(await Promise.all(ids.map((id) => cri.containerStatus(id)))).toEqual(before);
    expect((await cri.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_READY);
    expect(bench.toolstackBench.hypervisor.listDomains()).toEqual([domain]);
    expect((await cri.exec(running, ["echo", "again"])).stdout.toString()).toBe("again");
    await cri.start(created);
    await cri.stop(running, 5);
    expect((await cri.containerStatus(running)).exitCode).toBe(143);
    await cri.removePod(pod);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("has the network of each pod that runs looked at", async () => {
    const ended = await cri.runPod({
      metadata: { name: "ended", namespace: "default", uid: "u2", attempt: 0 },
    });
    await cri.stopPod(ended);
    await bench.kill();
    await bench.revive();
    const network = new FakeNetwork(bench.toolstackBench.root);
    await expect.poll(() => network.checked()).toEqual([pod]);
  });

  it("learns how a container exited meanwhile", async () => {
    const id = await cri.create(pod, { args: ["later", "200", "4"] });
    await cri.start(id);
    await bench.kill();
    const journal = join(bench.toolstackBench.paths.pods, pod, "journal");
    await expect.poll(async () => (await readJournal(journal)).exits.length).toBe(1);
    await bench.revive();
    expect(await cri.containerStatus(id)).toMatchObject({
      state: ContainerState.CONTAINER_EXITED,
      exitCode: 4,
      reason: "Error",
    });
    expect((await cri.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_READY);
  });

  it("learns that a VM died meanwhile", async () => {
    const id = await cri.create(pod);
    await cri.start(id);
    await bench.kill();
    const [vmm] = bench.toolstackBench.livingVmms();
    process.kill(vmm ?? 0, "SIGKILL");
    await expect.poll(() => bench.toolstackBench.livingVmms()).toEqual([]);
    await bench.revive();
    expect((await cri.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_NOTREADY);
    expect((await cri.containerStatus(id)).exitCode).toBe(255);
    await cri.removePod(pod);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });
});

describe("a restart in the middle of", () => {
  it("RunPodSandbox, before the VM: undone", async () => {
    await bench.kill();
    const { metadata } = sandboxRecord();
    const config = { ...metadata.config, attempt: 1 };
    bench.edit((store) => store.insertSandbox({ ...metadata, id: newId(), config }, NEW_SANDBOX));
    await bench.revive();
    expect(await cri.pods()).toHaveLength(1);
    await cri.runPod({ metadata: { name: "web", namespace: "default", uid: "u1", attempt: 1 } });
  });

  it("RunPodSandbox, with the VM: undone", async () => {
    await bench.kill();
    bench.edit((store) => store.updateSandbox(pod, NEW_SANDBOX));
    await bench.revive();
    expect(await cri.pods()).toEqual([]);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("RunPodSandbox, when it cannot be undone yet: seen as not ready, and removed by the caller", async () => {
    await bench.kill();
    bench.edit((store) => store.updateSandbox(pod, NEW_SANDBOX));
    const network = new FakeNetwork(bench.toolstackBench.root);
    network.stuck = true;
    await bench.revive();
    expect((await cri.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_NOTREADY);
    await expect(cri.removePod(pod)).rejects.toThrow(/the network is stuck/);
    network.stuck = false;
    await cri.removePod(pod);
    expect(await cri.pods()).toEqual([]);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
    await cri.runPod();
  });

  it("RemovePodSandbox: finished", async () => {
    const id = await cri.create(pod);
    await cri.start(id);
    await bench.kill();
    const { status } = sandboxRecord();
    bench.edit((store) => store.updateSandbox(pod, { ...status, removing: true }));
    await bench.revive();
    expect(await cri.pods()).toEqual([]);
    expect(await cri.containers()).toEqual([]);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("CreateContainer: undone", async () => {
    const id = await cri.create(pod);
    await bench.kill();
    bench.edit((store) => store.updateContainer(id, NEW_CONTAINER));
    await bench.revive();
    expect(await cri.containers()).toEqual([]);
    await cri.create(pod);
  });

  it.each(["before", "after"])(
    "StartContainer, %s the guest has heard of it: done",
    async (when) => {
      const id = await cri.create(pod);
      const { status } = containerRecord();
      if (when === "after") await cri.start(id);
      await bench.kill();
      bench.edit((store) => store.updateContainer(id, { ...status, starting: true }));
      await bench.revive();
      expect((await cri.containerStatus(id)).state).toBe(ContainerState.CONTAINER_RUNNING);
      await cri.stop(id, 5);
      expect((await cri.containerStatus(id)).exitCode).toBe(143);
    },
  );

  it("RemoveContainer: finished", async () => {
    const id = await cri.create(pod);
    await cri.start(id);
    await bench.kill();
    const { status } = containerRecord();
    bench.edit((store) => store.updateContainer(id, { ...status, removing: true }));
    await bench.revive();
    expect(await cri.containers()).toEqual([]);
    expect((await cri.podStatus(pod)).state).toBe(PodSandboxState.SANDBOX_READY);
  });

  it("anything, with the record lost: nothing is left", async () => {
    await bench.kill();
    bench.edit((store) => store.deleteSandbox(pod));
    await bench.revive();
    expect(await cri.pods()).toEqual([]);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });
});

it("says which record is damaged instead of forgetting a pod", async () => {
  await bench.kill();
  bench.edit((_store, database) => database.run("UPDATE sandboxes SET status = '{'"));
  await expect(bench.revive()).rejects.toThrow(`the record of sandbox ${pod} is damaged`);
});
