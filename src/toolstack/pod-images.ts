// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { waitFor } from "../shared/wait.ts";
import type { VmDisks } from "./vm-disks.ts";

/** Image file → noxs device. */
type ImagesRecord = Readonly<Record<string, number>>;

/** The images of one pod: each a disk of its VM, once, until the end of the VM. */
export class PodImages {
  readonly #disks: VmDisks;
  readonly #note: (images: ImagesRecord) => void;
  readonly #attached = new Map<string, Promise<number>>();
  #record: ImagesRecord;

  /** `record`: what a lightvmd before this one has written down. */
  constructor(disks: VmDisks, record: ImagesRecord, note: (images: ImagesRecord) => void) {
    this.#disks = disks;
    this.#note = note;
    this.#record = record;
    for (const [path, device] of Object.entries(record)) {
      this.#attached.set(path, Promise.resolve(device));
    }
  }

  async attach(path: string, signal: AbortSignal): Promise<number> {
    let attaching = this.#attached.get(path);
    if (attaching === undefined) {
      // Shared by all callers, so none of them may cancel it; each only stops waiting.
      attaching = this.#attach(path);
      this.#attached.set(path, attaching);
      attaching.catch(() => this.#attached.delete(path));
    }
    return await waitFor(attaching, `attaching ${path}`, { signal });
  }

  async #attach(path: string): Promise<number> {
    const serial = createHash("sha256").update(path).digest("hex").slice(0, 20);
    const device = await this.#disks.plugFile(path, serial);
    this.#record = { ...this.#record, [path]: device };
    this.#note(this.#record);
    return device;
  }
}
