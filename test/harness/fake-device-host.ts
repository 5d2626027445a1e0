// SPDX-License-Identifier: Apache-2.0
import { openSync, statSync } from "node:fs";
import type { DeviceHost, HostDevice } from "../../src/toolstack/device-host.ts";
import { NativeDeviceHost } from "../../src/toolstack/native-device-host.ts";

/**
 * Files called "*.disk" are block devices, whose minor number is their inode's: no test that runs without
 * a box needs to be root. What else there is, is what it is.
 */
export class FakeDeviceHost implements DeviceHost {
  readonly #native = new NativeDeviceHost();

  open(path: string, writable: boolean): HostDevice {
    if (!path.endsWith(".disk")) return this.#native.open(path, writable);
    const minor = statSync(path).ino & 0xfffff;
    const fd = openSync(path, writable ? "r+" : "r");
    return { kind: "block", fd, major: 7, minor, mode: 0o660, uid: 0, gid: 6 };
  }
}
