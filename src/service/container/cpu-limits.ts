// SPDX-License-Identifier: Apache-2.0
import type { ContainerResources } from "../../pod/container-record.ts";
import { LightvmError } from "../../shared/errors.ts";

/** CPU period when the caller names none, as the kernel's; microseconds. */
const DEFAULT_PERIOD = 100_000;
/** More than any machine has; what is longer is not counted out. */
const MAX_CPU = 0xffff;

/** What is said of a limit in CPUs; 0 = nothing, less than 0 = no limit. */
export interface CpuQuota {
  readonly cpuQuotaMicroseconds: number;
  readonly cpuPeriodMicroseconds: number;
}

/**
 * Throws "failed-precondition" for a limit of more CPUs than a VM has: its vCPUs were set when the pod
 * was made, so that it would change nothing, and nobody would be told. `whose` begins the message.
 */
export function checkQuota(
  { cpuQuotaMicroseconds: quota, cpuPeriodMicroseconds: period }: CpuQuota,
  vcpus: number,
  whose: string,
): void {
  const cpus = quota / (period || DEFAULT_PERIOD);
  if (cpus <= vcpus) return;
  throw new LightvmError(
    "failed-precondition",
    `${whose} cannot have ${cpus} CPUs: its VM has ${counted(vcpus)} and does not grow; ` +
      "make the pod anew with the larger limit",
  );
}

/**
 * The CPUs of a container as its guest's kernel can be told: "" = all of them. Throws
 * "failed-precondition" for one that the VM does not have: numbers of the node's CPUs, which kubelet
 * gives out with its static CPU manager, mean nothing in a VM.
 */
export function guestCpuset({ cpusetCpus }: Pick<ContainerResources, "cpusetCpus">, vcpus: number) {
  const cpus = parseCpuList(cpusetCpus);
  const beyond = cpus.find((cpu) => cpu >= vcpus);
  if (beyond !== undefined) {
    throw new LightvmError(
      "failed-precondition",
      `cpuset_cpus "${cpusetCpus}" names CPU ${beyond}, but the pod's VM has ${counted(vcpus)}, ` +
        `${vcpus === 1 ? "CPU 0" : `CPUs 0 to ${vcpus - 1}`}: name those, or limit the pod to more ` +
        "CPUs when it is made; the node's own CPUs cannot be chosen (kubelet's CPU manager: none)",
    );
  }
  // The kernel for one vCPU has no cpusets, and needs none.
  return vcpus === 1 ? "" : cpusetCpus;
}

/** The kernel's list format (cpuset(7)) without strides: "0-2,5". Throws "invalid-argument". */
export function parseCpuList(text: string): number[] {
  if (text === "") return [];
  return text.split(",").flatMap((part) => {
    const [, first = "", last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(part) ?? [];
    const [from, to] = [Number(first), Number(last)];
    if (first === "" || to < from || to > MAX_CPU) {
      throw new LightvmError("invalid-argument", `cpuset_cpus: "${text}" is no list of CPUs`);
    }
    return Array.from({ length: to - from + 1 }, (_, index) => from + index);
  });
}

function counted(vcpus: number): string {
  return vcpus === 1 ? "1 vCPU" : `${vcpus} vCPUs`;
}
