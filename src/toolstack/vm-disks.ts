// SPDX-License-Identifier: Apache-2.0

import { Failure_Code } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { VmmError } from "../vmm/failures.ts";
import type { VmmClient } from "../vmm/vmm-client.ts";
import { type FileSender, handOneToVmm } from "../vmm/vmm-files.ts";

/** Whose disks they are. */
export interface DisksOwner {
  /** Throws "unavailable" when the VM is over. */
  readonly vmm: () => VmmClient;
  readonly sender: FileSender;
  /** Where the VMM takes descriptors. */
  readonly socketPath: string;
  readonly timeoutMs: number;
}

/** Shows disks to a VM, and takes them away. */
export class VmDisks {
  readonly #owner: DisksOwner;

  constructor(owner: DisksOwner) {
    this.#owner = owner;
  }

  /** A file, which can only be read. `serial`: at most 20 bytes. Returns the noxs device. */
  async plugFile(path: string, serial: string): Promise<number> {
    const { vmm, sender, socketPath, timeoutMs } = this.#owner;
    vmm();
    const file = await handOneToVmm(sender, socketPath, { path, flags: "r" }, { timeoutMs });
    return await this.#attach(file, serial, false);
  }

  /** What is open as `fd`, which stays open on our side. Returns the noxs device. */
  async plug(
    fd: number,
    what: string,
    { serial, writable }: { serial: string; writable: boolean },
  ): Promise<number> {
    const { vmm, sender, socketPath, timeoutMs } = this.#owner;
    vmm();
    const file = await handOneToVmm(sender, socketPath, { fd, what }, { timeoutMs });
    return await this.#attach(file, serial, writable);
  }

  /** Returns when the VMM has closed its file. A disk that is gone is no error. */
  async unplug(deviceId: number): Promise<void> {
    const { vmm, timeoutMs } = this.#owner;
    try {
      await vmm().call("detachDevice", { deviceId }, { timeoutMs });
    } catch (error) {
      const unknown = error instanceof VmmError && error.vmmCode === Failure_Code.CODE_INVALID;
      if (!unknown) throw error;
    }
  }

  async #attach(file: bigint, serial: string, writable: boolean): Promise<number> {
    const { vmm, timeoutMs } = this.#owner;
    const request = { file, serial, writable };
    return (await vmm().call("attachBlock", request, { timeoutMs })).deviceId;
  }
}
