// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  ImageServiceService,
  RuntimeServiceService,
} from "../../cri-proto/generated/runtime/v1/api.ts";
import type { LinuxContainerResources } from "../../cri-proto/generated/runtime/v1/resources.ts";
import { LinuxContainerResources as Resources } from "../../cri-proto/generated/runtime/v1/resources.ts";
import { call } from "../harness/cri-call.ts";
import { CriClient } from "../harness/cri-client.ts";
import { NodeBench } from "../harness/node-bench.ts";

let bench: NodeBench;
let cri: CriClient;
beforeEach(async () => {
  bench = await NodeBench.start({ guest: "boots", runsContainers: true });
  cri = new CriClient(bench);
});
afterEach(async () => await bench[Symbol.asyncDispose]());

async function running(name: string, labels: Record<string, string> = {}): Promise<string> {
  const pod = await cri.runPod({ metadata: { name, uid: name } });
  const id = await cri.create(pod, { args: ["sleep"], labels });
  await cri.start(id);
  return id;
}

describe("what containers use", () => {
  it("is what the guest counts", async () => {
    const id = await running("a");
    const { runtime } = bench.endpoint;
    const { stats } = await call(runtime, runtime.containerStats, { containerId: id });
    expect(stats).toMatchObject({
      attributes: { id, metadata: { name: "main" } },
      cpu: { usageCoreNanoSeconds: { value: 1_000_000_000n }, usageNanoCores: undefined },
      memory: { workingSetBytes: { value: 524_288n }, availableBytes: undefined },
    });
    expect(stats?.cpu?.timestamp).toBeGreaterThan(0n);
  });

  it("is listed by label and by pod, without what has exited", async () => {
    const [a, b] = [await running("a", { tier: "x" }), await running("b", { tier: "y" })];
    const { runtime } = bench.endpoint;
    const list = async (filter?: object) => {
      const whole = { id: "", podSandboxId: "", labelSelector: {}, ...filter };
      const request = { filter: filter && whole };
      const { stats } = await call(runtime, runtime.listContainerStats, request);
      return stats.map(({ attributes }) => attributes?.id).sort();
    };
    expect(await list()).toEqual([a, b].sort());
    expect(await list({ labelSelector: { tier: "y" } })).toEqual([b]);
    expect(await list({ id: a })).toEqual([a]);
    const [pod] = await cri.pods();
    expect(await list({ podSandboxId: pod?.id })).toEqual([a]);
    await cri.stop(a, 0);
    expect(await list()).toEqual([b]);
  });

  it("is not known of one that does not exist", async () => {
    const { runtime } = bench.endpoint;
    const wanted = call(runtime, runtime.containerStats, { containerId: "nobody" });
    await expect(wanted).rejects.toMatchObject({ code: status.NOT_FOUND });
  });
});

describe("what a pod uses", () => {
  it("is its VM, its network, and its containers", async () => {
    const id = await running("a");
    const { runtime } = bench.endpoint;
    const request = { filter: undefined };
    const { stats } = await call(runtime, runtime.listPodSandboxStats, request);
    expect(stats).toHaveLength(1);
    expect(stats[0]?.linux).toMatchObject({
      memory: { workingSetBytes: { value: 4n << 20n }, availableBytes: { value: 60n << 20n } },
      network: {
        defaultInterface: { name: "eth0", rxBytes: { value: 7n } },
        interfaces: [{ name: "net1" }],
      },
      containers: [{ attributes: { id } }],
    });
  });

  it("is not listed once it has ended", async () => {
    await running("a");
    const [pod] = await cri.pods();
    await cri.stopPod(pod?.id ?? "");
    const { runtime } = bench.endpoint;
    const list = await call(runtime, runtime.listPodSandboxStats, { filter: undefined });
    expect(list.stats).toEqual([]);
    const one = call(runtime, runtime.podSandboxStats, { podSandboxId: pod?.id ?? "" });
    await expect(one).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
  });
});

describe("metrics", () => {
  it("have the labels that their descriptors name", async () => {
    const id = await running("a");
    const { runtime } = bench.endpoint;
    const { descriptors } = await call(runtime, runtime.listMetricDescriptors, {});
    expect(descriptors).toHaveLength(56);
    const labels = new Map(descriptors.map(({ name, labelKeys }) => [name, labelKeys]));
    expect(labels.size).toBe(56);
    const { podMetrics } = await call(runtime, runtime.listPodSandboxMetrics, {});
    const [pod] = podMetrics;
    const all = [...(pod?.metrics ?? []), ...(pod?.containerMetrics[0]?.metrics ?? [])];
    for (const { labelValues, name } of all) {
      expect(labelValues, name).toHaveLength(labels.get(name)?.length ?? -1);
    }
    expect(new Set(all.map(({ name }) => name))).toEqual(new Set(labels.keys()));
    expect(pod?.containerMetrics[0]?.containerId).toBe(id);
    const usage = all.find(({ name }) => name === "container_cpu_usage_seconds_total");
    expect(usage?.value?.value).toBe(1n);
  });
});

describe("what lightvmd counts of itself", () => {
  it("has each call by its status, boots, and pods by state", async () => {
    const id = await running("a");
    await expect(cri.start(id)).rejects.toThrow();
    const counts = await callCounts();
    expect(counts.get("StartContainer OK")).toBe(1);
    expect(counts.get("StartContainer FAILED_PRECONDITION")).toBe(1);
    const text = await bench.context.metrics.registry.metrics();
    expect(text).toContain('lightvmd_guest_boot_seconds_count{guest="linux"} 1');
    expect(text).toContain('lightvmd_sandboxes{state="ready"} 1');
  });

  it("has every verb of the CRI from the beginning, and those that it does not know", async () => {
    const verbs = [RuntimeServiceService, ImageServiceService].flatMap((service) =>
      Object.values(service).map(({ path }) => path.split("/").at(-1)),
    );
    expect(verbs.length).toBeGreaterThan(35);
    const before = await callCounts();
    for (const verb of verbs) expect(before.get(`${verb} OK`), verb).toBe(0);
    await expect(cri.checkpoint("c")).rejects.toMatchObject({ code: status.UNIMPLEMENTED });
    expect((await callCounts()).get("CheckpointContainer UNIMPLEMENTED")).toBe(1);
  });

  it("has streams, until their end", async () => {
    await running("a");
    const { runtime } = bench.endpoint;
    const list = runtime.streamPodSandboxes({ filter: undefined });
    await list.toArray();
    const events = runtime.getContainerEvents({});
    const open = async () => (await bench.context.metrics.streams.get()).values;
    const verb = "GetContainerEvents";
    await expect.poll(open).toContainEqual({ labels: { verb }, value: 1 });
    events.on("error", () => undefined);
    events.cancel();
    await expect.poll(open).toContainEqual({ labels: { verb }, value: 0 });
    const counts = await callCounts();
    expect(counts.get("StreamPodSandboxes OK")).toBe(1);
    expect(counts.get(`${verb} CANCELLED`)).toBe(1);
  });
});

/** "VERB CODE" → how many calls Prometheus is told of. */
async function callCounts(): Promise<Map<string, number>> {
  const { values } = await bench.context.metrics.calls.get();
  return new Map(
    values
      .filter(({ metricName }) => metricName?.endsWith("_count"))
      .map(({ labels, value }) => [`${labels.verb} ${labels.code}`, value]),
  );
}

describe("limits of a container", () => {
  const update = async (containerId: string, linux: Partial<LinuxContainerResources>) => {
    const { runtime } = bench.endpoint;
    const resources = Resources.fromPartial(linux);
    const request = { containerId, linux: resources, windows: undefined, annotations: {} };
    await call(runtime, runtime.updateContainerResources, request);
  };

  it("change while it runs, and what is not said stays", async () => {
    const id = await running("a");
    await update(id, { memoryLimitInBytes: 32n << 20n, cpuShares: 512n });
    await update(id, { cpuQuota: 50_000n, cpuPeriod: 100_000n });
    const { resources } = await cri.containerStatus(id);
    expect(resources?.linux).toMatchObject({
      memoryLimitInBytes: 32n << 20n,
      cpuShares: 512n,
      cpuQuota: 50_000n,
    });
    const { runtime } = bench.endpoint;
    const { stats } = await call(runtime, runtime.containerStats, { containerId: id });
    expect(stats?.memory?.availableBytes?.value).toBe((32n << 20n) - 524_288n);
  });

  it("cannot be more than the VM has", async () => {
    const id = await running("a");
    await expect(update(id, { memoryLimitInBytes: 1n << 40n })).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
      details: expect.stringMatching(/more than the pod's VM has/),
    });
  });

  it("cannot be more CPUs than the VM has, nor others", async () => {
    const pod = await cri.runPod({
      linux: { resources: { cpuQuota: 150_000n, cpuPeriod: 100_000n } },
    });
    const id = await cri.create(pod, { args: ["sleep"] });
    await cri.start(id);
    // 1.5 CPUs are two vCPUs, all of which one container may have.
    await update(id, { cpuQuota: 200_000n, cpuPeriod: 100_000n, cpusetCpus: "0-1" });
    const kept = { cpuQuota: 200_000n, cpusetCpus: "0-1" };
    for (const [linux, details] of [
      [{ cpuQuota: 300_000n }, /cannot have 3 CPUs: its VM has 2 vCPUs/],
      [{ cpusetCpus: "4-7" }, /"4-7" names CPU 4, but the pod's VM has 2 vCPUs/],
    ] as const) {
      const refused = { code: status.FAILED_PRECONDITION, details: expect.stringMatching(details) };
      await expect(update(id, linux)).rejects.toMatchObject(refused);
    }
    expect((await cri.containerStatus(id)).resources?.linux).toMatchObject(kept);
    await expect(update(id, { cpusetCpus: "all" })).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
  });

  it("name huge pages of any size, as long as none are wanted", async () => {
    const id = await running("a");
    const pages = (limit: bigint) => ({ hugepageLimits: [{ pageSize: "1GB", limit }] });
    await update(id, pages(0n));
    await expect(update(id, pages(1n << 30n))).rejects.toMatchObject({
      code: status.UNIMPLEMENTED,
      details: expect.stringMatching(/huge pages of 1GB: a pod's VM has none; take .* away/),
    });
  });

  it("are refused when they are none", async () => {
    const id = await running("a");
    for (const linux of [
      { cpuShares: -1n },
      { oomScoreAdj: 1001n },
      { unified: { "cgroup.freeze": "1" } },
      { unified: { "../memory.max": "1" } },
      { hugepageLimits: [{ pageSize: "2/MB", limit: 1n }] },
    ]) {
      await expect(update(id, linux)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    }
  });
});

describe("limits of a pod", () => {
  const update = async (podSandboxId: string, linux: Partial<LinuxContainerResources>) => {
    const { runtime } = bench.endpoint;
    const resources = Resources.fromPartial(linux);
    const request = { podSandboxId, resources, overhead: undefined };
    await call(runtime, runtime.updatePodSandboxResources, request);
  };

  it("are the VM's, which does not grow", async () => {
    const pod = await cri.runPod();
    await update(pod, { cpuQuota: 50_000n, cpuPeriod: 100_000n, memoryLimitInBytes: 8n << 20n });
    await update(pod, { cpuQuota: -1n });
    await expect(update(pod, { cpuQuota: 150_000n })).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
      details: `pod ${pod} cannot have 1.5 CPUs: its VM has 1 vCPU and does not grow; make the pod anew with the larger limit`,
    });
    await expect(update(pod, { memoryLimitInBytes: 1n << 40n })).rejects.toMatchObject({
      code: status.FAILED_PRECONDITION,
    });
  });

  it("follow what its containers ask of CPUs that are short", async () => {
    const { log } = bench.toolstackBench.hypervisor;
    const weighed = () => log.filter((line) => line.startsWith("weigh"));
    const pod = await cri.runPod({ linux: { resources: { cpuShares: 512n } } });
    expect(weighed()).toEqual(["weigh domain 128, at most 0 %"]);
    await update(pod, { cpuShares: 1024n });
    await update(pod, { memoryLimitInBytes: 8n << 20n });
    expect(weighed()).toHaveLength(2);
    expect(weighed()[1]).toBe("weigh domain 256, at most 0 %");
  });
});
