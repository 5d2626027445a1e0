// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import type { Hypervisor } from "./hypervisor.ts";
import type { PodVmSpec } from "./pod-vm.ts";

const MIB = 1024 * 1024;
const PAGE = 4096;

/** Beside its RAM and paging pool: domain and vCPU structures, event channels, grant tables. */
const DOMAIN_BYTES = 1 * MIB;

/** What the pool for nested page tables has whatever the VM's size is, and for each vCPU. */
const PAGING_PAGES = 64;
const PAGING_PAGES_A_VCPU = 4;

/**
 * Bytes of Xen's memory that a VM takes once it has grown to its size: its RAM, the pool for nested
 * page tables (native/xen, builder/assembly.rs: a page for each 2 MiB, and some) and Xen's own
 * structures.
 */
export function xenMemoryOf(spec: Pick<PodVmSpec, "vcpus" | "memoryBytes">): number {
  const tables =
    Math.ceil(spec.memoryBytes / (2 * MIB)) + Math.ceil(spec.memoryBytes / (1024 * MIB));
  const paging = (PAGING_PAGES + PAGING_PAGES_A_VCPU * spec.vcpus + tables) * PAGE;
  return spec.memoryBytes + paging + DOMAIN_BYTES;
}

/** Keeps pods from asking Xen for memory that it has not, also when several start at once. */
export class Admission {
  readonly #hypervisor: Pick<Hypervisor, "info">;
  readonly #reservedBytes: number;
  #pendingBytes = 0;

  /** `reservedBytes` are left to Xen and dom0 whatever pods ask for. */
  constructor(hypervisor: Pick<Hypervisor, "info">, reservedBytes: number) {
    this.#hypervisor = hypervisor;
    this.#reservedBytes = reservedBytes;
  }

  /** How many bytes Xen lacks for such a VM; 0 when there is room. */
  missing(spec: Pick<PodVmSpec, "vcpus" | "memoryBytes">): number {
    return Math.max(0, xenMemoryOf(spec) - this.#available());
  }

  /**
   * Sets memory aside for a VM that is about to be built; dispose it once Xen itself counts the
   * memory as taken, or the attempt is over. Throws "resource-exhausted".
   */
  reserve(spec: Pick<PodVmSpec, "vcpus" | "memoryBytes">): Disposable {
    const needed = xenMemoryOf(spec);
    const available = this.#available();
    if (needed > available) {
      throw new LightvmError(
        "resource-exhausted",
        `Xen has ${inMib(available)} free for pods and this one needs ${inMib(needed)} ` +
          `(${inMib(spec.memoryBytes)} of RAM and Xen's overhead); ` +
          "remove pods, or give dom0 less memory (dom0_mem= on Xen's command line)",
      );
    }
    this.#pendingBytes += needed;
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#pendingBytes -= needed;
        held = false;
      },
    };
  }

  #available(): number {
    const free = Number(this.#hypervisor.info().freeMemoryBytes);
    return Math.max(0, free - this.#pendingBytes - this.#reservedBytes);
  }
}

function inMib(bytes: number): string {
  return `${Math.floor(bytes / MIB)} MiB`;
}
