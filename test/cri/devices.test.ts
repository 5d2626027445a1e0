// SPDX-License-Identifier: Apache-2.0
//
// What a request says of devices, and that nothing is left of a create that fails.
import { status } from "@grpc/grpc-js";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NEW_CONTAINER } from "../../src/pod/container-record.ts";
import { CriClient } from "../harness/cri-client.ts";
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

const device = (hostPath: string, permissions: string = "mrw") => ({
  hostPath,
  containerPath: "/dev/xvdz",
  permissions,
});
const disks = async () => await bench.toolstackBench.disks(pod);

describe("a container's block device", () => {
  it("is there as long as the container is, whatever becomes of lightvmd", async () => {
    const data = bench.toolstackBench.disk("data");
    const id = await cri.create(pod, { devices: [device(data)] });
    await cri.start(id);
    const before = await disks();
    expect(before).toHaveLength(1);
    await bench.kill();
    await bench.revive();
    expect(await disks()).toEqual(before);
    // Another attempt of the same container has the same disk.
    const next = await cri.create(pod, { attempt: 1, devices: [device(data)] });
    expect(await disks()).toEqual(before);
    await cri.removeContainer(next);
    await cri.stop(id, 0);
    expect(await disks()).toEqual(before);
    await cri.removeContainer(id);
    expect(await disks()).toEqual([]);
    await cri.removePod(pod);
    expect(bench.toolstackBench.leftovers()).toEqual([]);
  });

  it("is not left by a create that fails later", async () => {
    const wishes = { devices: [device(bench.toolstackBench.disk("data"))], args: ["missing"] };
    await expect(cri.create(pod, wishes)).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
    expect(await disks()).toEqual([]);
    expect(await cri.containers()).toEqual([]);
  });

  it("is not left by a create in whose middle lightvmd is killed", async () => {
    const id = await cri.create(pod, { devices: [device(bench.toolstackBench.disk("data"))] });
    await bench.kill();
    bench.edit((store) => store.updateContainer(id, NEW_CONTAINER));
    await bench.revive();
    expect(await disks()).toEqual([]);
    expect(await cri.containers()).toEqual([]);
  });
});

describe("a device that cannot be", () => {
  const table: [string, object, status, RegExp][] = [
    [
      "is nowhere",
      device("/dev/no-such-device"),
      status.NOT_FOUND,
      /host device "\/dev\/no-such-device" is not there/,
    ],
    [
      "is a directory",
      device("/dev"),
      status.INVALID_ARGUMENT,
      /"\/dev" is no device of the host but a directory/,
    ],
    [
      "is a driver's of the host",
      device("/dev/ptmx"),
      status.UNIMPLEMENTED,
      /"\/dev\/ptmx" is a character device \(5:2\): a pod is a VM without the host's drivers/,
    ],
    [
      "has a relative path",
      device("dev/sda"),
      status.INVALID_ARGUMENT,
      /host_path of a device "dev\/sda" is not absolute/,
    ],
    [
      "has no place",
      { ...device("/dev/null"), containerPath: "" },
      status.INVALID_ARGUMENT,
      /container_path of host device "\/dev\/null" "" is not absolute/,
    ],
    [
      "would hide all others",
      { ...device("/dev/null"), containerPath: "/dev/" },
      status.INVALID_ARGUMENT,
      /would hide "\/dev"/,
    ],
    ["may do nothing", device("/dev/null", ""), status.INVALID_ARGUMENT, /permissions ""/],
    ["may do the unknown", device("/dev/null", "rx"), status.INVALID_ARGUMENT, /permissions "rx"/],
    ["is only written", device("/dev/null", "w"), status.UNIMPLEMENTED, /can always be read/],
  ];
  it("is refused by name", async () => {
    for (const [name, wanted, code, details] of table) {
      await expect(cri.create(pod, { devices: [wanted] }), name).rejects.toMatchObject({
        code,
        details: expect.stringMatching(details),
      });
    }
    const twice = [device("/dev/null"), device("/dev/zero")];
    await expect(cri.create(pod, { devices: twice })).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
      details: expect.stringMatching(/two devices at "\/dev\/xvdz"/),
    });
    expect(await cri.containers()).toEqual([]);
    expect(await disks()).toEqual([]);
  });
});
