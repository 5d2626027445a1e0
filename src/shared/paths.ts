// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type { Config } from "./config.ts";

/** Every fixed place on a node, in one table. */
export interface NodePaths {
  readonly vmmBinary: string;
  readonly fileServerBinary: string;
  readonly addon: string;
  readonly kernelUp: string;
  readonly kernelSmp: string;
  readonly initramfs: string;
  /** One directory a shell, which stays its VM's when a pod takes it. */
  readonly shells: string;
  /** One symbolic link a pod, to its shell's directory. */
  readonly pods: string;
  /** One empty directory a shell: the root of its VMM process. */
  readonly jails: string;
  /** One mount a pod: its network namespace. */
  readonly networkNamespaces: string;
  readonly database: string;
  readonly images: string;
}

/** The places that follow from the configured directories. */
export function nodePaths(config: Config): NodePaths {
  const { library_directory: library, run_directory: run, state_directory: state } = config;
  return {
    vmmBinary: join(library, "bin", "lightvm-vmm"),
    fileServerBinary: join(library, "bin", "lightvm-files"),
    addon: join(library, "addon.node"),
    kernelUp: join(library, "guest", "vmlinux-up"),
    kernelSmp: join(library, "guest", "vmlinux-smp"),
    initramfs: join(library, "guest", "initramfs.cpio"),
    shells: join(run, "shells"),
    pods: join(run, "pods"),
    jails: join(state, "jails"),
    networkNamespaces: join(run, "netns"),
    database: join(state, "state.db"),
    images: join(state, "images"),
  };
}
