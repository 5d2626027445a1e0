// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { type ContainerUnderTest, PodUnderTest } from "../framework/pod-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

type Device = Record<string, unknown>;

const HOST = "/run/e2e-devices";
const SECTORS = 16_384;

describe("block devices of the node", () => {
  let node: NodeUnderTest;
  let pod: PodUnderTest;
  /** A loop device on `HOST/data`, for the time of one test. */
  let loop: string;
  let started = 0;

  const onHost = async (script: string) => await node.onHost(script);
  const attach = async (): Promise<string> =>
    await onHost(`truncate -s $((512 * ${SECTORS})) ${HOST}/data; losetup -f --show ${HOST}/data`);
  /** Gives the loop device up, which is gone at once if nobody else has it open. */
  const detach = async (): Promise<void> => {
    await onHost(`losetup -d ${loop}`);
    expect((await onHost("losetup -n -O NAME -l")).split("\n")).not.toContain(loop);
  };
  const waits = (devices: readonly Device[], linux: Device = {}) => {
    started += 1;
    return { name: `waits-${started}`, command: ["sleep", "1000"], linux, more: { devices } };
  };
  const device = (permissions = "mrw", more: Device = {}): Device => ({
    host_path: loop,
    container_path: "/dev/xvdz",
    permissions,
    ...more,
  });
  const inside = async (id: string, script: string) => await node.inside(id, script);
  const within = async (id: string, script: string) => await node.within(id, script);
  const write = async (id: string, text: string, sector: number, path = "/dev/xvdz") =>
    await within(
      id,
      `echo ${text} | /bin/busybox dd of=${path} bs=512 seek=${sector} conv=notrunc,fsync 2>/dev/null`,
    );
  /** The first line of a sector in the file behind the loop device, not in anybody's cache. */
  const onDisk = async (sector: number): Promise<string> =>
    await onHost(`dd if=${HOST}/data bs=512 skip=${sector} count=1 2>/dev/null | head -n 1`);
  const remove = async (id: string) => await node.crictl.must(["rm", "-f", id], 120_000);

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    pod = await PodUnderTest.run(node, { name: "disks" });
    await onHost(`modprobe loop; mkdir -p ${HOST}`);
  });
  afterAll(async () => {
    await pod.remove();
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
    await onHost(`rm -rf ${HOST}`);
    await node[Symbol.asyncDispose]();
  });

  it("are read and written, and what was synchronised is on the node's disk", async () => {
    loop = await attach();
    await onHost(`echo from-host | dd of=${loop} bs=512 seek=7 conv=notrunc,fsync 2>/dev/null`);
    await onHost(`chmod 640 ${loop}; chown 33:34 ${loop}`);
    const elsewhere = device("rw", { container_path: "/data/disk" });
    const id = await pod.start(waits([device(), elsewhere]));
    const shown =
      "for d in /dev/xvdz /data/disk; do [ -b $d ] && /bin/busybox stat -c '%a %u:%g' $d; done";
    expect(await within(id, shown)).toBe("640 33:34\n640 33:34");
    const sector = (number: number) =>
      `/bin/busybox dd if=/dev/xvdz bs=512 skip=${number} count=1 2>/dev/null`;
    expect(await within(id, `${sector(7)} | /bin/busybox head -n 1`)).toBe("from-host");
    await write(id, "from-guest", 9);
    expect(await onDisk(9)).toBe("from-guest");
    // By its other name, the last sector; behind that there is none.
    await write(id, "the-end", SECTORS - 1, "/data/disk");
    expect(await onDisk(SECTORS - 1)).toBe("the-end");
    expect(await within(id, `${sector(SECTORS)} | /bin/busybox wc -c`)).toBe("0");
    expect(
      (await inside(id, `echo x | /bin/busybox dd of=/dev/xvdz bs=512 seek=${SECTORS}`)).code,
    ).not.toBe(0);
    expect(await onHost(`stat -c %s ${HOST}/data`)).toBe(String(512 * SECTORS));
    await remove(id);
    await detach();
  });

  it("carry as much as they hold", async () => {
    loop = await attach();
    const id = await pod.start(waits([device()]));
    await within(
      id,
      "/bin/busybox yes lightvm | /bin/busybox dd of=/dev/xvdz bs=64k count=128 iflag=fullblock conv=fsync 2>/dev/null",
    );
    const sum = await onHost(`md5sum <${HOST}/data`);
    expect(sum).toBe(await onHost(`yes lightvm | head -c $((512 * ${SECTORS})) | md5sum`));
    await within(id, "echo 3 >/proc/sys/vm/drop_caches || true");
    expect(await within(id, "/bin/busybox md5sum </dev/xvdz")).toBe(sum);
    await remove(id);
    await detach();
  });

  it("are only read by who may only read", async () => {
    loop = await attach();
    await onHost(`echo untouched | dd of=${loop} bs=512 conv=notrunc,fsync 2>/dev/null`);
    const id = await pod.start(waits([device("r")], { security_context: { privileged: true } }));
    expect(await within(id, "/bin/busybox head -n 1 /dev/xvdz")).toBe("untouched");
    const { code } = await inside(id, "echo changed >/dev/xvdz");
    expect(code).not.toBe(0);
    // Not even by who is root in the guest and tells the kernel otherwise.
    await inside(
      id,
      "/bin/busybox blockdev --setrw /dev/xvdz && echo changed >/dev/xvdz; /bin/busybox sync",
    );
    expect(await onDisk(0)).toBe("untouched");
    await remove(id);
    await detach();
  });

  it("are refused by name when they are none, and leave nothing of the container", async () => {
    loop = await attach();
    await onHost(`: >${HOST}/file`);
    // crictl escapes our quotation marks.
    const cases: [string, RegExp][] = [
      ["/dev/no-such-device", /host device .*\/dev\/no-such-device.* is not there/],
      [`${HOST}/file`, /\/run\/e2e-devices\/file.* is no device of the host but a file/],
      [HOST, /is no device of the host but a directory/],
      ["/dev/mem", /host device .*\/dev\/mem.* is a character device \(1:1\): a pod is a VM/],
    ];
    const refused = async (container: ContainerUnderTest) =>
      await node.crictl.refusedContainer(pod.id, pod.container(container), pod.options);
    for (const [path, message] of cases) {
      // Behind a good one, which must not stay.
      const bad = device("rw", { host_path: path, container_path: "/dev/bad" });
      expect(await refused(waits([device(), bad]))).toMatch(message);
    }
    const missing = { ...waits([device()]), command: ["/no/such/command"] };
    expect(await refused(missing)).toMatch(/no\/such\/command/);
    expect(await node.crictl.must(["ps", "-aq", "-p", pod.id])).toBe("");
    await detach();
  });

  it("that every guest has are its own", async () => {
    const zero = { host_path: "/dev/zero", container_path: "/dev/nothing", permissions: "rw" };
    const id = await pod.start(waits([zero]));
    expect(await within(id, "/bin/busybox head -c 100 /dev/nothing | /bin/busybox wc -c")).toBe(
      "100",
    );
    await remove(id);
  });

  it("outlive a lightvmd that is killed, and go with the container all the same", async () => {
    loop = await attach();
    const id = await pod.start(waits([device()]));
    await write(id, "before", 1);
    await node.daemon.end("KILL");
    await node.daemon.start();
    await write(id, "after", 2);
    expect([await onDisk(1), await onDisk(2)]).toEqual(["before", "after"]);
    // The next attempt shares the disk with the one before.
    const next = await pod.start(waits([device()]));
    await write(next, "next", 3);
    await remove(id);
    await write(next, "alone", 4);
    expect([await onDisk(3), await onDisk(4)]).toEqual(["next", "alone"]);
    await remove(next);
    await detach();
  });

  it("go with the pod", async () => {
    loop = await attach();
    const short = await PodUnderTest.run(node, { name: "short" });
    const id = await short.start(waits([device()]));
    await write(id, "last", 5);
    await short.remove();
    await detach();
    expect(await onDisk(5)).toBe("last");
  });
});
