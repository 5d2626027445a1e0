// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { awaitAddon, callAddon, type NativeAddon } from "../shared/native-addon.ts";
import type { ProcessIdentity } from "../vmm/process-identity.ts";
import type { VolumeHost, VolumeOptions } from "./volume-host.ts";

/** A volume in a file server's mountinfo: its name, and what is mounted below it. */
const VOLUME = /^\/volumes\/([^/]+)(\/.*)?$/;

type Addon = Pick<NativeAddon, "socketPair" | "mountVolume" | "unmountVolume">;

/** This host's kernel, through the Node-API addon. */
export class NativeVolumeHost implements VolumeHost {
  readonly #addon: Addon;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  socketPair(): [number, number] {
    const make = () => this.#addon.socketPair();
    return callAddon("resource-exhausted", "make a pair of sockets", make);
  }

  mountVolume(
    { pid, startTime }: ProcessIdentity,
    source: string,
    name: string,
    options: VolumeOptions,
  ): Promise<void> {
    const mount = () => this.#addon.mountVolume(pid, startTime, source, name, options);
    return awaitAddon("failed-precondition", `mount ${source}`, mount);
  }

  unmountVolume({ pid, startTime }: ProcessIdentity, name: string): Promise<void> {
    const unmount = () => this.#addon.unmountVolume(pid, startTime, name);
    return awaitAddon("internal", `unmount volume ${name}`, unmount);
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
