// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, expect, it } from "vitest";
import {
  type ContainerEventResponse,
  ContainerEventType,
} from "../../cri-proto/generated/runtime/v1/events.ts";
import { CriClient } from "../harness/cri-client.ts";
import { NodeBench } from "../harness/node-bench.ts";

const KINDS = new Map<number, string>(
  Object.entries(ContainerEventType).map(([name, value]) => [value, name.split("_")[1] ?? ""]),
);

let bench: NodeBench;
let cri: CriClient;
beforeEach(async () => {
  bench = await NodeBench.start({ guest: "boots", runsContainers: true });
  cri = new CriClient(bench);
});
afterEach(async () => await bench[Symbol.asyncDispose]());

/** All messages of a stream. */
async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const messages: T[] = [];
  for await (const message of stream) messages.push(message);
  return messages;
}

it("tells what happens to sandboxes and containers, in order", async () => {
  const stream = bench.endpoint.runtime.getContainerEvents({});
  const events: string[] = [];
  const seen: ContainerEventResponse[] = [];
  const names = new Map<string, string>();
  stream.on("data", (event: ContainerEventResponse) => seen.push(event));
  const cancelled = once(stream, "error");
  // The subscription is there when an answer to a later call is.
  await cri.version();
  const pod = await cri.runPod();
  const id = await cri.create(pod, { args: ["sleep"] });
  await cri.start(id);
  await cri.stop(id, 1);
  await cri.removeContainer(id);
  await cri.removePod(pod);
  names.set(pod, "pod").set(id, "container");
  await expect.poll(() => seen.length).toBe(8);
  for (const { containerEventType, containerId } of seen) {
    events.push(`${names.get(containerId)} ${KINDS.get(containerEventType)}`);
  }
  expect(events).toEqual([
    "pod CREATED",
    "pod STARTED",
    "container CREATED",
    "container STARTED",
    "container STOPPED",
    "container DELETED",
    "pod STOPPED",
    "pod DELETED",
  ]);
  expect(seen[3]?.podSandboxStatus?.id).toBe(pod);
  expect(seen[3]?.containersStatuses.map((each) => each.id)).toEqual([id]);
  stream.cancel();
  expect(await cancelled).toMatchObject([{ code: status.CANCELLED }]);
});

it("streams the lists in messages that are never empty", async () => {
  const { image, runtime } = bench.endpoint;
  const nobody = { id: "none", state: undefined, labelSelector: {} };
  expect(await all(runtime.streamPodSandboxes({ filter: nobody }))).toEqual([]);
  const pod = await cri.runPod();
  const id = await cri.create(pod, { args: ["sleep"] });
  const pods = await all(runtime.streamPodSandboxes({ filter: undefined }));
  expect(pods).toMatchObject([{ podSandboxes: [{ id: pod }] }]);
  const containers = await all(runtime.streamContainers({ filter: undefined }));
  expect(containers).toMatchObject([{ containers: [{ id }] }]);
  const stats = await all(runtime.streamContainerStats({ filter: undefined }));
  expect(stats).toMatchObject([{ containerStats: [{ attributes: { id } }] }]);
  const podStats = await all(runtime.streamPodSandboxStats({ filter: undefined }));
  expect(podStats).toMatchObject([{ podSandboxStats: [{ attributes: { id: pod } }] }]);
  const metrics = await all(runtime.streamPodSandboxMetrics({}));
  expect(metrics).toMatchObject([{ podSandboxMetrics: [{ podSandboxId: pod }] }]);
  expect(await all(image.streamImages({ filter: undefined }))).toHaveLength(1);
});
