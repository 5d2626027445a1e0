// SPDX-License-Identifier: Apache-2.0
import type { ContainerConfig } from "../../pod/container-record.ts";
import { LightvmError } from "../../shared/errors.ts";

/** Linux capabilities in the order of their numbers (linux/capability.h). */
const ALL = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
];

/** What a container has unless it is asked otherwise; the same as with other runtimes. */
const DEFAULT = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

/**
 * The whole set of a container's capabilities. "ALL" is understood on both sides; what is named
 * is stronger than "ALL", and dropping is stronger than adding.
 */
export function capabilitySet(security: ContainerConfig["security"]): string[] {
  if (security.privileged) return [...ALL];
  const add = security.addCapabilities.map(canonical);
  const drop = security.dropCapabilities.map(canonical);
  let base: readonly string[] = DEFAULT;
  if (drop.includes("ALL")) base = [];
  if (add.includes("ALL")) base = ALL;
  const set = new Set([...base, ...add.filter((name) => name !== "ALL")]);
  for (const name of drop) set.delete(name);
  return ALL.filter((name) => set.has(name));
}

/** Of the whole set, those that a user other than root keeps too. */
export function ambientCapabilities(security: ContainerConfig["security"]): string[] {
  const asked = security.ambientCapabilities.map(canonical);
  const set = capabilitySet(security);
  return asked.includes("ALL") ? set : set.filter((name) => asked.includes(name));
}

/** "net_admin" → "CAP_NET_ADMIN". Throws "invalid-argument" for one that does not exist. */
function canonical(name: string): string {
  const upper = name.toUpperCase();
  if (upper === "ALL") return upper;
  const full = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  if (!ALL.includes(full)) {
    throw new LightvmError("invalid-argument", `there is no capability "${name}"`);
  }
  return full;
}
