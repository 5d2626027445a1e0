// SPDX-License-Identifier: Apache-2.0

/** "LVM1": how a domain of ours is told from everybody else's, even when every record is lost. */
const PREFIX = "4c564d31";
const ID_DIGITS = 24;

/**
 * The Xen domain handle of a pod's VM, 32 hexadecimal digits: our prefix and the first 12 bytes of
 * the sandbox id.
 */
export function domainUuid(sandboxId: string): string {
  return PREFIX + sandboxId.slice(0, ID_DIGITS);
}

/** Whether a domain handle is one of ours. */
export function isOurs(uuid: string): boolean {
  return uuid.startsWith(PREFIX);
}
