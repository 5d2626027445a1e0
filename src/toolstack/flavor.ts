// SPDX-License-Identifier: Apache-2.0
import type { PodVmSpec } from "./pod-vm.ts";

const MIB = 1024 * 1024;

/**
 * What a shell is made of and cannot be changed once it stands: a pod takes a shell of exactly its
 * own flavor. The kernel follows from the vCPUs; see guest-kernel.ts.
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

/** One word for logs, metrics and as a key: "up-1cpu-64MiB-32slots". */
export function flavorName({ vcpus, memoryBytes, deviceSlots }: Flavor): string {
  const kernel = vcpus === 1 ? "up" : "smp";
  return `${kernel}-${vcpus}cpu-${memoryBytes / MIB}MiB-${deviceSlots}slots`;
}
