// SPDX-License-Identifier: Apache-2.0
import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ToolstackBench } from "../../test/harness/toolstack-bench.ts";

const openFiles = () => readdirSync("/proc/self/fd").length;

describe("block devices of the host", () => {
  it("are one disk for all who may do the same, which goes with the last", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const { signal } = bench;
    const { id } = bench.spec();
    const vm = await bench.toolstack().create(bench.spec(), signal);
    const data = { hostPath: bench.disk("data"), writable: true };
    const other = { hostPath: bench.disk("other"), writable: true };
    const before = openFiles();
    const [one, two] = await Promise.all([
      vm.attachDevices("one", [data, other], signal),
      vm.attachDevices("two", [{ ...data, writable: false }, data], signal),
    ]);
    expect(openFiles()).toBe(before);
    expect(one[0]).toEqual({
      node: { $case: "blockDeviceId", value: expect.any(Number) },
      mode: 0o660,
      uid: 0,
      gid: 6,
    });
    expect(two[0]?.mode).toBe(0o440);
    expect(two[1]).toEqual(one[0]);
    const [shared, ofOne, ofTwo] = [one[0], one[1], two[0]].map((it) => it?.node?.value);
    expect(await bench.disks(id)).toEqual([shared, ofOne, ofTwo]);
    await vm.detachDevices("one");
    await vm.detachDevices("one");
    expect(await bench.disks(id)).toEqual([shared, ofTwo]);
    await vm.detachDevices("two");
    expect(await bench.disks(id)).toEqual([]);
    const again = await vm.attachDevices("three", [data], signal);
    expect(await bench.disks(id)).toEqual([again[0]?.node?.value]);
    await vm.destroy();
    expect(bench.leftovers()).toEqual([]);
  });

  it("outlive lightvmd, and go when the next one says so", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const { signal } = bench;
    const { id } = bench.spec();
    const first = await bench.toolstack().create(bench.spec(), signal);
    const data = { hostPath: bench.disk("data"), writable: true };
    const attached = await first.attachDevices("one", [data], signal);
    const vm = await bench.toolstack().adopt(bench.spec(), signal);
    expect(await vm?.attachDevices("two", [data], signal)).toEqual(attached);
    await vm?.detachDevices("one");
    expect(await bench.disks(id)).toHaveLength(1);
    await vm?.detachDevices("two");
    expect(await bench.disks(id)).toEqual([]);
    await vm?.destroy();
  });

  it("of which nobody was told are taken away by the next lightvmd", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const { signal } = bench;
    const { id } = bench.spec();
    const vm = await bench.toolstack().create(bench.spec(), signal);
    await vm.attachImage(bench.disk("image"), signal);
    const data = { hostPath: bench.disk("data"), writable: true };
    await vm.attachDevices("one", [data], signal);
    bench.editRecord(id, (record) => ({ ...record, disks: [] }));
    const next = await bench.toolstack().adopt(bench.spec(), signal);
    expect(await bench.disks(id)).toEqual([]);
    // The image is still there, and known.
    expect(await next?.attachImage(bench.disk("image"), signal)).toBe(4);
    await next?.destroy();
  });

  it("can be taken away after a failure half-way", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const { signal } = bench;
    const vm = await bench.toolstack().create(bench.spec(), signal);
    const data = { hostPath: bench.disk("data"), writable: true };
    const none = { hostPath: `${bench.root}/none`, writable: true };
    const before = openFiles();
    await expect(vm.attachDevices("one", [data, none], signal)).rejects.toMatchObject({
      code: "not-found",
    });
    expect(openFiles()).toBe(before);
    expect(await bench.disks(bench.spec().id)).toHaveLength(1);
    await vm.detachDevices("one");
    expect(await bench.disks(bench.spec().id)).toEqual([]);
    await vm.destroy();
  });
});

describe("character devices of the host", () => {
  it("are the guest's own where it has such, and refused by name where not", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const { signal } = bench;
    const vm = await bench.toolstack().create(bench.spec(), signal);
    const wanted = (path: string) => [{ hostPath: path, writable: true }];
    expect(await vm.attachDevices("one", wanted("/dev/null"), signal)).toMatchObject([
      { node: { $case: "guestName", value: "null" }, mode: 0o666 },
    ]);
    await expect(vm.attachDevices("one", wanted("/dev/ptmx"), signal)).rejects.toMatchObject({
      code: "unimplemented",
      message: expect.stringMatching(/"\/dev\/ptmx" is a character device \(5:2\): .* fuse$/),
    });
    expect(await bench.disks(bench.spec().id)).toEqual([]);
    await vm.destroy();
  });
});
