// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { HOSTILE, unikernels } from "../../native/build/unikernels.ts";
import { unikernelImage } from "../../src/image/unikernel-image.ts";
import { Bystander } from "../framework/bystander.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

/** As the box has it, but guests are given no minute to answer; `seed` decides what a hostile one does. */
const config = (seed: number) => `
[vm]
kernel_arguments = "seed=${seed}"
boot_timeout_seconds = 10
vmm_timeout_seconds = 60
[image.registries."127.0.0.1:5000"]
plain_http = true
`;
const KERNEL = "/usr/lib/lightvm/guest/vmlinux-up";
const HOSTILE_KERNEL = "/run/hostile";

/** A failure can be had again by its seed. LIGHTVM_SEEDS: how many are tried, from 1 on. */
const SEEDS = Array.from({ length: Number(process.env["LIGHTVM_SEEDS"] ?? 3) }, (_, n) => n + 1);

/**
 * `native/unikernels/hostile` lies in its rings and vsock packets, writes nonsense on every page that it
 * shares, and floods bells. Its pod may end, or be of no use; nothing else may happen.
 */
describe("a guest that attacks its VMM", () => {
  let node: NodeUnderTest;
  let bystander: Bystander;

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    bystander = await Bystander.start(node);
    const input = await readFile(join(await unikernels(), HOSTILE));
    await node.box.exec(`cat >${HOSTILE_KERNEL}`, { input });
  });
  afterAll(async () => {
    await using _node = node;
    await node.box.exec(`rm ${HOSTILE_KERNEL}`);
    await bystander.remove();
  });

  it.each(SEEDS)("gets no further with a pod's devices, seed %i", async (seed) => {
    await node.daemon.end();
    await node.daemon.start({ config: config(seed) });
    // In place of Linux it has what Linux has: vsock and entropy, with their queues.
    const own = { name: `hostile-${seed}` };
    const refused = await withKernel(async () => await node.crictl.refusedPod(own));
    expect(refused).toMatch(/the VM did not boot/);
    // A VMM may end its guest, or end with it and say why; nothing that its guest does kills it.
    expect(refused).not.toMatch(/was ended by SIG|panicked/);
    await bystander.expectAlive();
    expect(await tracesOfPods(node.box)).toEqual(bystander.traces);
  });

  it("gets no further with a unikernel's, and is stopped when its time is over", async () => {
    const kernel = await readFile(join(await unikernels(), HOSTILE));
    const unikernel = {
      kernel: "/hostile",
      commandLine: "seed=4",
      memoryBytes: 16 * 2 ** 20,
      signOfLife: "sysctl",
      network: "virtio",
    } as const;
    const image = await node.registry.push("hostile", "1", unikernelImage(kernel, unikernel));
    await node.crictl.must(["pull", image], 120_000);
    const own = { name: "hostile", annotations: { "io.lightvm/unikernel": "true" } };
    const hostile = await node.crictl.runPod(own);
    const container = { name: "hostile", image };
    const id = await node.crictl.start(hostile, container, own);
    await bystander.expectAlive();
    expect(await node.crictl.rawLog(container, own)).toMatch(/hostile: seed=4$/m);
    await node.crictl.must(["stop", "--timeout", "5", id], 120_000);
    const status = await node.crictl.containerStatus(id);
    expect(status.state).toBe("CONTAINER_EXITED");
    // It said that it goes, was found out, or had to be killed; 255 would be a VMM that has died.
    expect([0, 134, 137]).toContain(status.exitCode);
    await node.crictl.removePod(hostile);
    await bystander.expectAlive();
    expect(await tracesOfPods(node.box)).toEqual(bystander.traces);
  });

  /** New VMs boot the hostile guest in the place of Linux for the time of `work`. */
  async function withKernel<T>(work: () => Promise<T>): Promise<T> {
    const { code, stderr } = await node.box.exec(`mount --bind ${HOSTILE_KERNEL} ${KERNEL}`);
    if (code !== 0) throw new Error(stderr);
    try {
      return await work();
    } finally {
      await node.box.exec(`umount ${KERNEL}`);
    }
  }
});
