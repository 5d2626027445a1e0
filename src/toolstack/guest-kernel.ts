// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants } from "node:fs";
import { LightvmError } from "../shared/errors.ts";
import type { NodePaths } from "../shared/paths.ts";

/**
 * hvc0 is Xen's console ring, kept as the boot log. A panic ends the domain at once (-1) instead of
 * hanging. There are no ACPI tables to look for. The TSC is native and never changes its rate, so
 * Linux need not watch it. No "--": the VMM appends `noxs=`, which would go to init behind it.
 */
const BASE_ARGUMENTS = "console=hvc0 quiet acpi=off panic=-1 tsc=reliable";

/** What a Tinyx guest boots from. */
export interface GuestImage {
  readonly kernel: string;
  readonly ramdisk: string;
  readonly commandLine: string;
}

/** Chooses the kernel built for one vCPU or for several; the first boots much faster. */
export function guestImage(
  paths: Pick<NodePaths, "kernelUp" | "kernelSmp" | "initramfs">,
  vcpus: number,
  extraArguments: string,
): GuestImage {
  const kernel = vcpus === 1 ? paths.kernelUp : paths.kernelSmp;
  const commandLine = [BASE_ARGUMENTS, extraArguments].filter((each) => each !== "").join(" ");
  return { kernel, ramdisk: paths.initramfs, commandLine };
}

/** Throws "failed-precondition" for the first file that a pod needs and that is not there. */
export function checkGuestFiles(
  paths: Pick<NodePaths, "kernelUp" | "kernelSmp" | "initramfs" | "vmmBinary">,
): void {
  requireFile(paths.vmmBinary, "the VMM binary", constants.X_OK);
  requireFile(paths.kernelUp, "the guest kernel for one vCPU", constants.R_OK);
  requireFile(paths.kernelSmp, "the guest kernel for several vCPUs", constants.R_OK);
  requireFile(paths.initramfs, "the guest's initramfs", constants.R_OK);
}

function requireFile(path: string, what: string, mode: number): void {
  try {
    accessSync(path, mode);
  } catch (cause) {
    throw new LightvmError("failed-precondition", `${what} is missing: ${path}`, { cause });
  }
}
