// SPDX-License-Identifier: Apache-2.0
import { initialMemoryOf } from "./initial-memory.ts";
import type { PodVmSpec } from "./pod-vm.ts";

const MIB = 1024 * 1024;

/**
 * What a shell is made of. Once it stands it can only become smaller, when its guest has booted; see
 * `canBecome`. The kernel follows from the vCPUs; see guest-kernel.ts.
 */
export interface Flavor {
  readonly vcpus: number;
  /** Guest RAM in bytes, a multiple of 4096. */
  readonly memoryBytes: number;
  /** noxs device slots. */
  readonly deviceSlots: number;
}

/** A unikernel has no images and no volumes: its power switch and a network card, with room to spare. */
const UNIKERNEL_SLOTS = 8;

export function flavorOf(
  { vcpus, memoryBytes, unikernel }: Pick<PodVmSpec, "vcpus" | "memoryBytes" | "unikernel">,
  deviceSlots: number,
): Flavor {
  const most = unikernel === true ? UNIKERNEL_SLOTS : deviceSlots;
  return { vcpus, memoryBytes, deviceSlots: Math.min(most, deviceSlots) };
}

/** A pod may lose this part of its memory to the description of what a larger shell could have had. */
const MOST_WASTE = 1 / 16;

/**
 * Whether a booted shell can be made a VM of another flavor: it switches vCPUs off, and gives up memory
 * that it has not taken from Xen yet. `baseBytes` is what a small guest starts with.
 */
export function canBecome(shell: Flavor, pod: Flavor, baseBytes: number): boolean {
  if (shell.deviceSlots !== pod.deviceSlots) return false;
  if (shell.vcpus < pod.vcpus || shell.memoryBytes < pod.memoryBytes) return false;
  const taken = initialMemoryOf(shell, baseBytes);
  const waste = taken - initialMemoryOf(pod, baseBytes);
  return taken <= pod.memoryBytes && waste <= pod.memoryBytes * MOST_WASTE;
}

/** One word for logs, metrics and as a key: "up-1cpu-64MiB-32slots". */
export function flavorName({ vcpus, memoryBytes, deviceSlots }: Flavor): string {
  const kernel = vcpus === 1 ? "up" : "smp";
  return `${kernel}-${vcpus}cpu-${memoryBytes / MIB}MiB-${deviceSlots}slots`;
}
