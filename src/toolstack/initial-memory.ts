// SPDX-License-Identifier: Apache-2.0
import type { PodVmSpec } from "./pod-vm.ts";

const MIB = 1024 * 1024;
/** Xen backs a guest's memory with pages of this size where it can. */
const SUPERPAGE = 2 * MIB;
/** Linux describes its memory in sections of this size, and the first one in any case. */
const SECTION = 128 * MIB;
/** Of what lies beyond the first section, Linux takes 1/64 for `struct page` and some for hash tables. */
const DESCRIPTION_SHARE = 48;
/** More than one vCPU: a larger kernel, and what each vCPU has for itself. */
const SMP_BYTES = 4 * MIB;
const BYTES_A_VCPU = 1 * MIB;

/**
 * Bytes of its memory that a Tinyx guest has from the start; it takes the rest from Xen when it needs
 * it. `baseBytes` is what a small guest with one vCPU starts with.
 */
export function initialMemoryOf(
  { vcpus, memoryBytes }: Pick<PodVmSpec, "vcpus" | "memoryBytes">,
  baseBytes: number,
): number {
  const description = Math.max(0, memoryBytes - SECTION) / DESCRIPTION_SHARE;
  const smp = vcpus === 1 ? 0 : SMP_BYTES + vcpus * BYTES_A_VCPU;
  const wanted = Math.ceil((baseBytes + description + smp) / SUPERPAGE) * SUPERPAGE;
  return Math.min(wanted, memoryBytes);
}
