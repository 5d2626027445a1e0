// SPDX-License-Identifier: Apache-2.0
import { statfsSync } from "node:fs";
import { createRequire } from "node:module";
import { LightvmError } from "../shared/errors.ts";
import type { Namespaces, TapInfo } from "./namespaces.ts";

/** What statfs(2) says of a namespace's mount (linux/magic.h). */
const NSFS_MAGIC = 0x6e736673;

/** The part of native/addon that is used here (native/addon/index.d.ts). */
interface Addon {
  createNetworkNamespace(path: string): Promise<void>;
  deleteNetworkNamespace(path: string): Promise<void>;
  openTap(path: string, interfaceName: string, offloads: boolean): Promise<TapInfo>;
}

/** The network namespaces of this dom0, through the Node-API addon: no process is started for them. */
export class NativeNamespaces implements Namespaces {
  readonly #addon: Addon;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  /** Loads the addon. Throws "unavailable" when it does not fit this Node. */
  static load(path: string): NativeNamespaces {
    try {
      return new NativeNamespaces(createRequire(import.meta.url)(path) as Addon);
    } catch (cause) {
      throw new LightvmError("unavailable", `cannot load the native addon ${path}`, { cause });
    }
  }

  create(path: string): Promise<void> {
    return attempt(`make the network namespace ${path}`, this.#addon.createNetworkNamespace(path));
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
    return attempt(what, this.#addon.deleteNetworkNamespace(path));
  }

  openTap(path: string, interfaceName: string, offloads: boolean): Promise<TapInfo> {
    const what = `join a tap with ${interfaceName} in ${path}`;
    return attempt(what, this.#addon.openTap(path, interfaceName, offloads));
  }
}

async function attempt<T>(what: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw new LightvmError("internal", `cannot ${what}`, { cause });
  }
}
