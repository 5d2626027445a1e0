// SPDX-License-Identifier: Apache-2.0

/** Who may do what with a device's node, as the host has it. */
interface DeviceNode {
  readonly major: number;
  readonly minor: number;
  /** Permissions, 0..0o777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** A block device, open for reading, or for reading and writing; the caller closes the descriptor. */
export interface OpenBlockDevice extends DeviceNode {
  readonly kind: "block";
  readonly fd: number;
}

/** A character device, which has not been opened: that alone can do things. */
export interface CharacterDevice extends DeviceNode {
  readonly kind: "character";
}

export type HostDevice = OpenBlockDevice | CharacterDevice;

/** The devices of the host. */
export interface DeviceHost {
  /**
   * The device at `path`; symlinks are followed. Throws "not-found", "invalid-argument" for what is no
   * device, "failed-precondition" when it can't be opened like that.
   */
  open(path: string, writable: boolean): HostDevice;
}
