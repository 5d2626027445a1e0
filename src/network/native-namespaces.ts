// SPDX-License-Identifier: Apache-2.0
import { statfsSync } from "node:fs";
import { LightvmError } from "../shared/errors.ts";
import { awaitAddon, type NativeAddon } from "../shared/native-addon.ts";
import type { Namespaces, TapInfo } from "./namespaces.ts";

/** What statfs(2) says of a namespace's mount (linux/magic.h). */
const NSFS_MAGIC = 0x6e736673;

type Addon = Pick<
  NativeAddon,
  "openNetworkNamespace" | "keepNetworkNamespace" | "deleteNetworkNamespace" | "openTap"
>;

/** The network namespaces of this dom0, through the Node-API addon: no process is started for them. */
export class NativeNamespaces implements Namespaces {
  readonly #addon: Addon;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  open(): Promise<number> {
    const what = "make a network namespace";
    return awaitAddon("internal", what, () => this.#addon.openNetworkNamespace());
  }

  keep(fd: number, path: string): Promise<void> {
    const what = `keep a network namespace at ${path}`;
    return awaitAddon("internal", what, () => this.#addon.keepNetworkNamespace(fd, path));
  }

  exists(path: string): boolean {
    try {
      return statfsSync(path).type === NSFS_MAGIC;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
      throw new LightvmError("internal", `cannot look at ${path}`, { cause: error });
    }
  }

  delete(path: string): Promise<void> {
    const what = `remove the network namespace ${path}`;
    return awaitAddon("internal", what, () => this.#addon.deleteNetworkNamespace(path));
  }

  openTap(path: string, interfaceName: string, offloads: boolean): Promise<TapInfo> {
    const what = `join a tap with ${interfaceName} in ${path}`;
    return awaitAddon("internal", what, () => this.#addon.openTap(path, interfaceName, offloads));
  }
}
