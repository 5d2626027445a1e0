// SPDX-License-Identifier: Apache-2.0
import type { Flavor } from "./flavor.ts";
import type { CpuShare } from "./hypervisor.ts";
import type { PodVmSpec } from "./pod-vm.ts";

/** What Xen gives dom0 and each new domain. */
const USUAL_WEIGHT = 256;
/** CPU shares that mean one whole CPU: Linux's weight of a cgroup that has asked for nothing (cpu.shares). */
const SHARES_OF_A_CPU = 1024;
/** A guest whose pod asks for nothing still has to answer while others are busy. */
const LEAST_WEIGHT = 16;
const MOST_WEIGHT = 0xffff;

/**
 * What Xen's scheduler is to give a pod's VM. Each vCPU weighs what the pod asks for it, so that one
 * which asks for a whole CPU weighs as much as dom0's. A domain that was made with more vCPUs than its
 * pod has gets no more CPU time for it, whatever its guest does with them.
 */
export function cpuShareOf(
  domain: Pick<Flavor, "vcpus">,
  { cpuShares = 0, vcpus }: Pick<PodVmSpec, "vcpus" | "cpuShares">,
): CpuShare {
  return {
    weight: cpuShares === 0 ? USUAL_WEIGHT : weightOf(cpuShares / vcpus),
    capPercent: domain.vcpus > vcpus ? vcpus * 100 : 0,
  };
}

/** Whether a share is what a domain has that nobody has given another. */
export function isUsual({ weight, capPercent }: CpuShare): boolean {
  return weight === USUAL_WEIGHT && capPercent === 0;
}

function weightOf(sharesOfVcpu: number): number {
  const weight = Math.round((sharesOfVcpu * USUAL_WEIGHT) / SHARES_OF_A_CPU);
  return Math.min(Math.max(weight, LEAST_WEIGHT), MOST_WEIGHT);
}
