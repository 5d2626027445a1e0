// SPDX-License-Identifier: Apache-2.0
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { makeInitramfs } from "../../native/build/initramfs.ts";
import type { Box } from "../box/box.ts";
import { testBusybox } from "../framework/box-for-tests.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

/** A copy of the node's files that a test may spoil. */
const SPOILT = "/run/spoilt-library";
const SPOILT_LIBRARY = `library_directory = "${SPOILT}"\n`;

const FILLER = "/var/lib/lightvm/filler";

/** Leaves no block free on the disk of the node's state. */
async function fillDisk(box: Box): Promise<void> {
  await box.exec(`
    number=0
    for size in 1G 64M 4M 256K 4K; do
      while fallocate -l $size ${FILLER}$number 2>/dev/null; do number=$((number + 1)); done
      number=$((number + 1))
    done`);
}

describe("a host that lacks something gives a clear answer:", () => {
  let node: NodeUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
  });
  afterAll(async () => await node[Symbol.asyncDispose]());
  afterEach(async () => expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore));

  /** The RuntimeReady condition of Status. */
  async function runtimeReady() {
    return (await node.crictl.conditions()).find(({ type }) => type === "RuntimeReady");
  }

  /** Runs `work` with a library that `spoil` has changed. */
  async function withSpoiltLibrary(
    spoil: string,
    config: string,
    work: () => Promise<void>,
    input: Uint8Array | string = "",
  ): Promise<void> {
    await node.box.exec(`cp -a /usr/lib/lightvm/. ${SPOILT}`);
    const { code, stderr } = await node.box.exec(`cd ${SPOILT} && ${spoil}`, { input });
    if (code !== 0) throw new Error(stderr);
    try {
      await node.daemonWith({ config: SPOILT_LIBRARY + config }, work);
    } finally {
      await node.box.exec(`rm -rf ${SPOILT}`);
    }
  }

  it("no Xen", async () => {
    await node.daemonWith({ hidden: ["/dev/xen"] }, async () => {
      expect(await runtimeReady()).toMatchObject({
        status: false,
        message: expect.stringMatching(/Xen is not available: cannot open \/dev\/xen\/privcmd/),
      });
      const message = await node.crictl.refusedPod({ name: "no-xen" });
      expect(message).toMatch(/Unavailable.*cannot open \/dev\/xen\/privcmd/s);
    });
    expect(await runtimeReady()).toMatchObject({ status: true });
  });

  it("no free Xen memory at all", async () => {
    await node.daemonWith({ config: "[vm]\nreserved_memory_mib = 1000000\n" }, async () => {
      const message = await node.crictl.refusedPod({ name: "small" });
      expect(message).toMatch(/ResourceExhausted.*Xen has 0 MiB free for pods/s);
    });
  });

  it("no VMM", async () => {
    const file = "bin/lightvm-vmm";
    await withSpoiltLibrary(`rm ${file}`, "", async () => {
      expect(await node.crictl.refusedPod({ name: "incomplete" })).toContain(`${SPOILT}/${file}`);
      expect(await runtimeReady()).toMatchObject({
        status: false,
        message: expect.stringContaining(`${SPOILT}/${file}`),
      });
    });
  });

  it("a kernel that is none", async () => {
    await withSpoiltLibrary("head -c 4096 /dev/zero >guest/vmlinux-up", "", async () => {
      expect(await node.crictl.refusedPod({ name: "no-kernel" })).toMatch(
        /not a 64-bit x86 ELF executable/,
      );
    });
  });

  it("an agent that never answers", async () => {
    // busybox as the guest's first process: a guest in good health that never says hello.
    const initramfs = makeInitramfs(await testBusybox());
    const config = "[vm]\nboot_timeout_seconds = 8\n";
    const refused = async () => {
      const message = await node.crictl.refusedPod({ name: "silent" });
      expect(message).toMatch(/Unavailable.*the agent did not answer within 8 s/s);
    };
    await withSpoiltLibrary("cat >guest/initramfs.cpio", config, refused, initramfs);
  });

  it("no room for its records", async () => {
    // A lightvmd that has just started has no journal yet in whose old pages a record could fit.
    await node.daemonWith({}, async () => {
      await fillDisk(node.box);
      const message = await node.crictl.refusedPod({ name: "unwritten" });
      await node.box.exec(`rm ${FILLER}*`);
      expect(message).toMatch(/ResourceExhausted.*state\.db.*full/s);
      await node.crictl.removePod(await node.crictl.runPod({ name: "unwritten" }));
    });
  });

  it("a VMM that is killed while its guest boots", async () => {
    const kill = node.box.exec(
      "timeout 60 sh -c 'until pgrep -x lightvm-vmm >/dev/null; do :; done'; pkill -KILL -x lightvm-vmm",
      { timeoutMs: 70_000 },
    );
    const message = await node.crictl.refusedPod({ name: "killed" });
    await kill;
    expect(message).toMatch(/Unavailable.*VMM.*SIGKILL/s);
  });
});
