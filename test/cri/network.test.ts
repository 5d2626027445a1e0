// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { Protocol } from "../../cri-proto/generated/runtime/v1/sandbox.ts";
import { LightvmError } from "../../src/shared/errors.ts";
import { CriClient } from "../harness/cri-client.ts";
import { NodeBench } from "../harness/node-bench.ts";

let bench: NodeBench;
let cri: CriClient;
beforeEach(async () => {
  bench = await NodeBench.start({ guest: "boots", runsContainers: true });
  cri = new CriClient(bench);
});
afterEach(async () => await bench[Symbol.asyncDispose]());

describe("the network of a pod", () => {
  it("is there from run to stop, and its addresses are told", async () => {
    const pod = await cri.runPod();
    expect(bench.network.attached()).toEqual([pod]);
    expect((await cri.podStatus(pod)).network).toEqual({
      ip: "10.0.0.2",
      additionalIps: [{ ip: "fd00::2" }],
    });
    await cri.stopPod(pod);
    expect(bench.network.attached()).toEqual([]);
    expect((await cri.podStatus(pod)).network).toEqual({ ip: "", additionalIps: [] });
    await cri.stopPod(pod);
    await cri.removePod(pod);
  });

  it("is asked for the ports that lead somewhere", async () => {
    await cri.runPod({
      portMappings: [
        { containerPort: 80, hostPort: 8080, protocol: Protocol.TCP, hostIp: "127.0.0.1" },
        { containerPort: 53, hostPort: 5353, protocol: Protocol.UDP, hostIp: "" },
        { containerPort: 9090, hostPort: 0, protocol: Protocol.TCP, hostIp: "" },
      ],
    });
    expect(bench.network.requests[0]?.portMappings).toEqual([
      { containerPort: 80, hostPort: 8080, protocol: "tcp", hostIP: "127.0.0.1" },
      { containerPort: 53, hostPort: 5353, protocol: "udp", hostIP: "" },
    ]);
  });

  it("goes with a pod that is removed by force", async () => {
    await cri.removePod(await cri.runPod());
    expect(bench.network.attached()).toEqual([]);
  });

  it("takes the VM down with it when it fails, and says why", async () => {
    bench.network.failure = new LightvmError("internal", 'the CNI plugin "bridge" failed');
    await expect(cri.runPod()).rejects.toMatchObject({
      code: status.INTERNAL,
      details: 'the CNI plugin "bridge" failed',
    });
    expect(bench.toolstackBench.leftovers()).toEqual([]);
    expect(bench.network.attached()).toEqual([]);
    expect(await cri.pods()).toEqual([]);
  });

  it("is undone when the VM fails", async () => {
    bench.toolstackBench.behave({ guest: "panics" });
    await expect(cri.runPod()).rejects.toMatchObject({ code: status.UNAVAILABLE });
    expect(bench.network.attached()).toEqual([]);
  });
});

describe("a node's network", () => {
  it("makes it ready, or says what is missing", async () => {
    const network = async () =>
      (await cri.status()).status?.conditions.find(({ type }) => type === "NetworkReady");
    expect(await network()).toMatchObject({ status: true, reason: "" });
    bench.network.missing = "there is no CNI network configuration";
    expect(await network()).toMatchObject({
      status: false,
      reason: "NetworkPluginNotReady",
      message: "there is no CNI network configuration",
    });
    await expect(cri.runPod()).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("hears of the cluster's address ranges", async () => {
    const update = (podCidr: string) => cri.updateRuntimeConfig(podCidr);
    await update("10.1.0.0/24,fd01::/64");
    expect(bench.network.podCidr).toBe("10.1.0.0/24,fd01::/64");
    await update("");
    expect(bench.network.podCidr).toBe("10.1.0.0/24,fd01::/64");
    for (const bad of ["10.1.0.0", "10.1.0.0/33", "world/8", "10.1.0.0/24,x"]) {
      await expect(update(bad)).rejects.toMatchObject({ code: status.INVALID_ARGUMENT });
    }
  });
});
