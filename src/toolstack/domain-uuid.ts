// SPDX-License-Identifier: Apache-2.0

/** "LVM1": how a domain of ours is told from everybody else's, even when every record is lost. */
const PREFIX = "4c564d31";

/** The Xen domain handle of a shell, 32 hexadecimal digits: our prefix and the shell's id. */
export function domainUuid(shellId: string): string {
  return PREFIX + shellId;
}

/** Whether a domain handle is one of ours. */
export function isOurs(uuid: string): boolean {
  return uuid.startsWith(PREFIX);
}
