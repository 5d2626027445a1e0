// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { LightvmError } from "../shared/errors.ts";
import type { ProcessIdentity } from "../vmm/process-identity.ts";
import { type Addon, loadAddon } from "./native-hypervisor.ts";
import type { VolumeHost, VolumeOptions } from "./volume-host.ts";

/** A volume in a file server's mountinfo: its name, and what is mounted below it. */
const VOLUME = /^\/volumes\/([^/]+)(\/.*)?$/;

/** This host's kernel, through the Node-API addon. */
export class NativeVolumeHost implements VolumeHost {
  readonly #addon: Pick<Addon, "socketPair" | "mountVolume" | "unmountVolume">;

  constructor(addon: Pick<Addon, "socketPair" | "mountVolume" | "unmountVolume">) {
    this.#addon = addon;
  }

  /** See `loadAddon`. */
  static load(path: string): NativeVolumeHost {
    return new NativeVolumeHost(loadAddon(path));
  }

  socketPair(): [number, number] {
    try {
      return this.#addon.socketPair();
    } catch (cause) {
      throw new LightvmError("resource-exhausted", "cannot make a pair of sockets", { cause });
    }
  }

  async mountVolume(
    { pid, startTime }: ProcessIdentity,
    source: string,
    name: string,
    options: VolumeOptions,
  ): Promise<void> {
    try {
      await this.#addon.mountVolume(pid, startTime, source, name, options);
    } catch (cause) {
      throw new LightvmError("failed-precondition", `cannot mount ${source}`, { cause });
    }
  }

  async unmountVolume({ pid, startTime }: ProcessIdentity, name: string): Promise<void> {
    try {
      await this.#addon.unmountVolume(pid, startTime, name);
    } catch (cause) {
      throw new LightvmError("internal", `cannot unmount volume ${name}`, { cause });
    }
  }

  /** From proc_pid_mountinfo(5), field 5. Names of ours need no unescaping. */
  async volumes({ pid }: ProcessIdentity): Promise<ReadonlyMap<string, boolean>> {
    const found = new Map<string, boolean>();
    for (const line of (await readFile(`/proc/${pid}/mountinfo`, "utf8")).split("\n")) {
      const [, name, below] = VOLUME.exec(line.split(" ")[4] ?? "") ?? [];
      if (name !== undefined) found.set(name, below !== undefined || found.get(name) === true);
    }
    return found;
  }
}
