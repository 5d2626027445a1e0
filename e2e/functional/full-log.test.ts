// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PodOptions } from "../framework/crictl.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

const LINES = 4000;
/** More than all buffers between the container and its log hold. */
const WRITER = `
x=$(printf '%0200d' 0); i=0
while [ $i -lt ${LINES} ]; do echo line $i $x; i=$((i+1)); done; echo >/done`;

/** A place for the logs of one pod's containers that holds so many KiB. */
class SmallDisk {
  readonly path: string;
  readonly #node: NodeUnderTest;

  constructor(node: NodeUnderTest, pod: PodOptions) {
    this.path = `/var/log/pods/default_${pod.name}/small`;
    this.#node = node;
  }

  async mount(kib: number): Promise<void> {
    await this.#run(`mkdir -p ${this.path}; mount -t tmpfs -o size=${kib}k none ${this.path}`);
  }

  async resize(kib: number): Promise<void> {
    await this.#run(`mount -o remount,size=${kib}k ${this.path}`);
  }

  async unmount(): Promise<void> {
    await this.#run(`umount ${this.path}`);
  }

  /** Waits until it is full and holds more than `kib`. */
  async untilFull(kib: number): Promise<void> {
    const used = `df -k ${this.path} | awk 'NR == 2 && $4 == 0 { print $3 }'`;
    await expect
      .poll(async () => Number((await this.#run(used)).trim()), { timeout: 60_000 })
      .toBeGreaterThanOrEqual(kib);
  }

  async #run(command: string): Promise<string> {
    const { code, stdout, stderr } = await this.#node.box.exec(command);
    expect(code, stderr).toBe(0);
    return stdout;
  }
}

/** What the VMM of the one pod that there is has to say. */
const VMM_LOG = "cat /run/lightvm/shells/*/vmm.log";

describe("a log whose disk is full", () => {
  let node: NodeUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
  });
  afterAll(async () => await node[Symbol.asyncDispose]());

  it("makes its container wait, and no other, and has every line once in the end", async () => {
    const { box, crictl } = node;
    const pod = await PodUnderTest.run(node, { name: "patient" });
    const disk = new SmallDisk(node, pod.options);
    await disk.mount(64);
    const id = await pod.start({
      name: "writer",
      command: ["sh", "-c", WRITER],
      more: { log_path: "small/writer.log" },
    });
    await disk.untilFull(64);
    expect(await vmmSays("whose output waits")).toBe(1);
    // Beside it, another container of the pod and an exec in the same one.
    const neighbour = { name: "neighbour", command: ["sh", "-c", "seq 5000; exec sleep 1000"] };
    await pod.start(neighbour);
    await expect.poll(() => pod.rawLog(neighbour), { timeout: 60_000 }).toContain("F 5000\n");
    expect(await crictl.exec(id, ["ls", "/done"])).toMatchObject({ code: 1 });
    expect((await crictl.containerStatus(id)).state).toBe("CONTAINER_RUNNING");

    // Room comes by itself, and is used up; the log is rotated while it is full, then there is enough.
    await disk.resize(192);
    await disk.untilFull(192);
    expect((await crictl.containerStatus(id)).state).toBe("CONTAINER_RUNNING");
    const log = `${disk.path}/writer.log`;
    await box.exec(`mv ${log} ${log}.1`);
    await crictl.must(["logs", "--reopen", "--tail", "1", id]);
    await disk.resize(4096);
    await expect
      .poll(() => crictl.containerStatus(id), { timeout: 90_000 })
      .toMatchObject({ state: "CONTAINER_EXITED", exitCode: 0 });
    const [rotated, current] = [await read(`${log}.1`), await read(log)];
    expect(current.split("\n").length).toBeGreaterThan(1000);
    expect(numbersOf(rotated + current)).toEqual([...Array(LINES).keys()]);
    expect(rotated.endsWith("\n")).toBe(true);
    expect(await vmmSays("is written again")).toBeGreaterThan(0);
    await pod.remove();
    await disk.unmount();
    expect(await tracesOfPods(box)).toEqual(node.tracesBefore);
  });

  it("does not keep its container or its pod from ending", async () => {
    const { box, crictl } = node;
    const pod = await PodUnderTest.run(node, { name: "hasty" });
    const disk = new SmallDisk(node, pod.options);
    await disk.mount(64);
    const endless = { command: ["yes", "again"], more: { log_path: "small/endless.log" } };
    const [first, second] = [
      await pod.start({ name: "first", ...endless }),
      await pod.start({ name: "second", ...endless, more: { log_path: "small/other.log" } }),
    ];
    await disk.untilFull(64);
    const began = performance.now();
    await crictl.must(["stop", "--timeout", "1", first], 60_000);
    expect(await crictl.containerStatus(first)).toMatchObject({
      state: "CONTAINER_EXITED",
      exitCode: 137,
    });
    await crictl.must(["rm", first], 60_000);
    await crictl.must(["stopp", pod.id], 60_000);
    expect(performance.now() - began).toBeLessThan(60_000);
    expect(await crictl.containerStatus(second)).toMatchObject({ exitCode: 137 });
    expect(await vmmSays("lacks its end")).toBe(2);
    await crictl.must(["rmp", pod.id], 60_000);
    await disk.unmount();
    expect(await tracesOfPods(box)).toEqual(node.tracesBefore);
  });

  async function vmmSays(words: string): Promise<number> {
    return (await node.box.exec(VMM_LOG)).stdout.split(words).length - 1;
  }

  async function read(path: string): Promise<string> {
    return (await node.box.exec(`cat ${path}`)).stdout;
  }

  /** The numbers of the lines of a log, each of which is whole. */
  function numbersOf(log: string): number[] {
    const lines = log.split("\n").slice(0, -1);
    return lines.map((line) => Number(/^\S+Z stdout F line (\d+) 0{200}$/.exec(line)?.[1]));
  }
});
