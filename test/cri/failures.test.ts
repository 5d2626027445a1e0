// SPDX-License-Identifier: Apache-2.0
import { rmSync } from "node:fs";
import { Metadata, status } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";
import { PodSandboxConfig } from "../../cri-proto/generated/runtime/v1/sandbox.ts";
import { LightvmError } from "../../src/shared/errors.ts";
import { CriClient } from "../harness/cri-client.ts";
import { NodeBench } from "../harness/node-bench.ts";
import type { VmmBehaviour } from "../harness/vmm-behaviour.ts";

describe("RunPodSandbox tells why it failed and leaves nothing when", () => {
  const cases: [string, VmmBehaviour, status, RegExp][] = [
    [
      "Xen has no memory",
      { guest: "boots", prepareFails: "populate: out of memory" },
      status.RESOURCE_EXHAUSTED,
      /populate: out of memory/,
    ],
    ["the guest panics", { guest: "panics" }, status.UNAVAILABLE, /Kernel panic - not syncing/],
    [
      "the VMM dies",
      { guest: "boots", dieAt: "execute" },
      status.UNAVAILABLE,
      /exit code 7; its last words: boom at execute/,
    ],
  ];
  it.each(cases)("%s", async (_name, behaviour, code, details) => {
    await using bench = await NodeBench.start(behaviour);
    const cri = new CriClient(bench);
    await expect(cri.runPod()).rejects.toMatchObject({
      code,
      details: expect.stringMatching(details),
    });
    expect(await cri.pods()).toEqual([]);
    expect(bench.context.pods.all()).toEqual([]);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
    // The name is free again.
    bench.toolstackBench.behave({ guest: "boots", runsContainers: true });
    await cri.runPod();
  });

  it("the caller gives up", async () => {
    await using bench = await NodeBench.start({ guest: "is silent" });
    const metadata = { name: "web", namespace: "default", uid: "u1", attempt: 0 };
    const request = { config: PodSandboxConfig.fromPartial({ metadata }), runtimeHandler: "" };
    const deadline = Date.now() + 1500;
    const { promise, resolve } = Promise.withResolvers<number | undefined>();
    bench.endpoint.runtime.runPodSandbox(request, new Metadata(), { deadline }, (error) =>
      resolve(error?.code),
    );
    expect(await promise).toBe(status.DEADLINE_EXCEEDED);
    await expect.poll(() => bench.toolstackBench.leftovers(), { timeout: 10_000 }).toEqual([]);
    expect(bench.context.pods.all()).toEqual([]);
  });
});

describe("Status", () => {
  async function runtimeReady(bench: NodeBench) {
    const { status: health } = await new CriClient(bench).status(false);
    return health?.conditions.find(({ type }) => type === "RuntimeReady");
  }

  it("is not ready without Xen, and says so", async () => {
    await using bench = await NodeBench.start({ guest: "boots" });
    bench.toolstackBench.hypervisor.info = () => {
      throw new LightvmError("unavailable", "cannot ask Xen about the host");
    };
    expect(await runtimeReady(bench)).toMatchObject({
      status: false,
      reason: "NodeCannotRunPods",
      message: "cannot ask Xen about the host",
    });
    const { info } = await new CriClient(bench).status();
    expect(JSON.parse(info["lightvm"] ?? "")).toMatchObject({
      xen: { obstacle: "cannot ask Xen about the host" },
    });
  });

  it("is not ready without a guest kernel, and says so", async () => {
    await using bench = await NodeBench.start({ guest: "boots" });
    rmSync(bench.toolstackBench.paths.kernelUp);
    expect(await runtimeReady(bench)).toMatchObject({
      status: false,
      message: expect.stringMatching(/vmlinux-up/),
    });
  });
});
