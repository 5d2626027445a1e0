// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { unikernels } from "../../native/build/unikernels.ts";
import { unikernelImage } from "../../src/image/unikernel-image.ts";
import { DOM0_RELEASES, dom0Image } from "../box/dom0.ts";
import { busyboxImage } from "../framework/oci-image.ts";
import type { Registry } from "../framework/registry.ts";
import type { PodPlan } from "./probe/pod.ts";

const MIB = 2 ** 20;

/** What is measured, as the registry in the box has it. */
export interface Plans {
  /** One busybox container that sleeps, in a Tinyx guest or in runc. */
  readonly busybox: PodPlan;
  /** A unikernel that says that it lives, and nothing more. */
  readonly noop: PodPlan;
}

/** Pushes the images of the benchmark. The peer's pause container is a busybox that sleeps. */
export async function pushImages(registry: Registry): Promise<Plans> {
  const { busybox } = await dom0Image(DOM0_RELEASES["4.20"]);
  const binary = await readFile(busybox);
  const image = await registry.push("busybox", "latest", await busyboxImage(binary));
  const pause = await busyboxImage(binary, { config: { Entrypoint: ["/bin/sleep", "1000000"] } });
  await registry.push("pause", "3.10", pause);
  const kernel = await readFile(join(await unikernels(), "noop"));
  const unikernel = {
    kernel: "/noop",
    commandLine: "",
    memoryBytes: 2 * MIB,
    signOfLife: "sysctl",
    network: "none",
  } as const;
  const noop = await registry.push("noop", "latest", unikernelImage(kernel, unikernel));
  const busyboxPlan = { image, command: ["sleep", "1000000"], handler: "" };
  const noopPlan = { image: noop, command: [], handler: "lightvm-unikernel" };
  return {
    busybox: { ...busyboxPlan, vm: { vcpus: 1, memoryBytes: 64 * MIB, unikernel: false } },
    noop: { ...noopPlan, vm: { vcpus: 1, memoryBytes: 2 * MIB, unikernel: true } },
  };
}
