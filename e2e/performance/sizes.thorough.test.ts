// SPDX-License-Identifier: Apache-2.0
//
// The sizes that SPECIFICATION.md promises. What was seen is printed, so that the page can be kept true.
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type CpioEntry, makeCpio } from "../../native/build/initramfs.ts";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { nativePrograms } from "../../native/build/programs.ts";
import { TEST_LINUX, testBusybox } from "../framework/box-for-tests.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { samplePodMemory } from "./ours.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

/** A guest whose console tells every second how much of the agent, its first process, is resident. */
const WATCHED_INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /watch
while /bin/busybox sleep 1; do /bin/busybox grep VmHWM /watch/1/status; done &
exec /agent
`;

const WATCHED = { name: "watched" };

async function watchedInitramfs(): Promise<Uint8Array> {
  const agent = await readFile(join(await nativePrograms(), "lightvm-agent"));
  const folders = ["bin", "dev", "proc", "sys", "run", "tmp", "watch"];
  const file = (path: string, content: Uint8Array): CpioEntry => ({
    kind: "file",
    path,
    mode: 0o755,
    content,
  });
  return makeCpio([
    ...folders.map((path): CpioEntry => ({ kind: "directory", path, mode: 0o755 })),
    { kind: "character-device", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    // A shell's job in the background reads from it.
    { kind: "character-device", path: "dev/null", mode: 0o666, major: 1, minor: 3 },
    file("bin/busybox", await testBusybox()),
    file("agent", agent),
    file("init", Buffer.from(WATCHED_INIT)),
  ]);
}

describe("what a pod costs", () => {
  const seen: [what: string, bytes: number][] = [];
  let node: NodeUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    await node.crictl.must(["pull", node.busybox], 120_000);
  });
  afterAll(async () => {
    for (const [what, bytes] of seen) {
      console.log(`${(bytes / KIB).toFixed(0).padStart(8)} KiB  ${what}`);
    }
    await node[Symbol.asyncDispose]();
  });

  function expectAtMost(what: string, bytes: number, limit: number): void {
    seen.push([what, bytes]);
    expect(bytes, what).toBeGreaterThan(0);
    expect(bytes, what).toBeLessThanOrEqual(limit);
  }

  /** KiB that the agent of a watched pod has needed at the most, after it has had something to do. */
  async function mostResident(sandbox: string): Promise<number> {
    const container = { name: "busy", image: node.busybox, command: ["sleep", "1000"] };
    const id = await node.crictl.start(sandbox, container, WATCHED);
    for (let i = 0; i < 3; i++) await node.crictl.exec(id, ["sh", "-c", "yes | head -n 100000"]);
    const log = `/run/lightvm/pods/${sandbox}/boot.log`;
    const { stdout } = await node.box.exec(
      `timeout 30 sh -c 'tail -n 0 -f ${log} | grep -a -m 1 VmHWM'; tail -n 5 ${log} >&2`,
    );
    return Number(/VmHWM:\s+(\d+) kB/.exec(stdout)?.[1]);
  }

  it("in files", async () => {
    const [programs, library] = [await nativePrograms(), await nodeLibrary(TEST_LINUX)];
    const size = async (directory: string, name: string) =>
      (await stat(join(directory, name))).size;
    expectAtMost("agent", await size(programs, "lightvm-agent"), 1_500_000);
    expectAtMost("VMM", await size(programs, "lightvm-vmm"), 2_000_000);
    expectAtMost("kernel, one vCPU", await size(library, "guest/vmlinux-up"), 9_000_000);
    expectAtMost("kernel, several vCPUs", await size(library, "guest/vmlinux-smp"), 12_000_000);
  });

  it("in the guest, for the agent", async () => {
    const library = "/run/watched-library";
    await node.box.exec(`cp -a /usr/lib/lightvm/. ${library}`);
    const input = await watchedInitramfs();
    await node.box.exec(`cat >${library}/guest/initramfs.cpio`, { input });
    await node.daemonWith({ config: `library_directory = "${library}"\n` }, async () => {
      const sandbox = await node.crictl.runPod(WATCHED);
      try {
        const kibibytes = await mostResident(sandbox);
        expectAtMost("agent, most that was ever resident", kibibytes * KIB, 2 * MIB);
      } finally {
        await node.crictl.removePod(sandbox);
      }
    });
    await node.box.exec(`rm -rf ${library}`);
  });

  it("on the host", async () => {
    const pod = await samplePodMemory(node.box, "measured", node.busybox);
    expectAtMost("VMM, resident", pod.vmmResidentBytes, 3 * MIB);
    expectAtMost("VMM, private", pod.vmmPrivateBytes, 2 * MIB);
    const { vmmPrivateBytes, xenBytes } = pod;
    expectAtMost("all of a pod of 64 MiB", vmmPrivateBytes + xenBytes, 72 * MIB);
  });
});
