// SPDX-License-Identifier: Apache-2.0

/** Who makes the pods' cgroups in dom0. */
export type CgroupDriver = "cgroupfs" | "systemd";

/**
 * RuntimeConfig. A pod's processes are in its VM, so that nobody makes a cgroup of it in dom0;
 * with "cgroupfs" kubelet's own cgroups need no systemd there.
 */
export function cgroupDriver(): CgroupDriver {
  return "cgroupfs";
}
