// SPDX-License-Identifier: Apache-2.0
import type { Config } from "../shared/config.ts";
import type { Logger } from "../shared/logger.ts";
import type { NodePaths } from "../shared/paths.ts";
import type { ProcessStarter } from "../shared/process-starter.ts";
import { Admission } from "./admission.ts";
import { awaitBoot } from "./boot.ts";
import type { DomainWatch } from "./domain-watch.ts";
import { canBecome, type Flavor, flavorOf } from "./flavor.ts";
import type { Hypervisor } from "./hypervisor.ts";
import { initialMemoryOf } from "./initial-memory.ts";
import type { PodVmSpec } from "./pod-vm.ts";
import { type Recipe, recipeOf } from "./recipe.ts";
import { Shell, type ShellPlan, type ShellTools } from "./shell.ts";
import { newShellId, ShellDirectory, type ShellParents } from "./shell-directory.ts";
import type { ShellRecord } from "./shell-record.ts";
import type { Stopwatch } from "./stopwatch.ts";
import { UidPool } from "./uid-pool.ts";

const MIB = 1024 * 1024;

export interface ShellsOptions {
  readonly config: Config["vm"];
  readonly paths: NodePaths;
  readonly hypervisor: Hypervisor;
  readonly processes: ProcessStarter;
  readonly watch: DomainWatch;
  readonly logger: Logger;
}

/** What is not the same for all shells of a flavor. */
export type ShellWishes = Partial<Pick<ShellPlan, "priority" | "memory">>;

/** Makes shells, for pods at once and for the pool, and knows all that there are. */
export class Shells {
  readonly tools: ShellTools;
  readonly admission: Admission;
  readonly #options: ShellsOptions;
  readonly #uids: UidPool;
  readonly #living = new Set<string>();

  constructor(options: ShellsOptions) {
    const { config, hypervisor, logger, paths, processes } = options;
    this.#options = options;
    this.admission = new Admission(hypervisor, config.reserved_memory_mib * MIB);
    this.#uids = new UidPool(config.first_uid);
    this.tools = {
      hypervisor,
      processes,
      logger,
      paths,
      vmmTimeoutMs: config.vmm_timeout_seconds * 1000,
      initialMemoryBytes: config.initial_memory_mib * MIB,
      onRemoved: (id, uid) => {
        this.#living.delete(id);
        if (uid !== undefined) this.#uids.release(uid);
      },
    };
  }

  /** Ids of the shells, and the pods' VMs that they became, of which something is left. */
  get living(): ReadonlySet<string> {
    return this.#living;
  }

  get parents(): ShellParents {
    return this.#options.paths;
  }

  /** What a shell for this pod is made of. */
  flavorOf(spec: Pick<PodVmSpec, "vcpus" | "memoryBytes" | "unikernel">): Flavor {
    return flavorOf(spec, this.#options.config.device_slots);
  }

  /** Whether a shell of this flavor has all of its memory from the start, whoever it is for. */
  hasAllMemory(flavor: Flavor): boolean {
    return initialMemoryOf(flavor, this.tools.initialMemoryBytes) === flavor.memoryBytes;
  }

  /**
   * Whether a booted shell of one flavor can be made a VM of the other. With fewer vCPUs only where Xen
   * holds it to that: its guest could switch them on again.
   */
  canBecome(shell: Flavor, pod: Flavor): boolean {
    if (!canBecome(shell, pod, this.tools.initialMemoryBytes)) return false;
    return shell.vcpus === pod.vcpus || this.tools.hypervisor.capsCpu();
  }

  /** What a shell of this flavor would be made from now. Throws "not-found". */
  recipeOf({ vcpus }: Flavor): Recipe {
    return recipeOf(this.#options.paths, vcpus, this.#options.config.kernel_arguments);
  }

  /** A prepared shell. Throws "resource-exhausted" when Xen has no memory for it. */
  async prepare(
    flavor: Flavor,
    stopwatch: Stopwatch,
    signal: AbortSignal,
    { priority = "foreground", memory = "grows" }: ShellWishes = {},
  ): Promise<Shell> {
    using reservation = this.admission.reserve(flavor);
    stopwatch.step("admission");
    const recipe = this.recipeOf(flavor);
    const directory = new ShellDirectory(this.#options.paths, newShellId());
    const uid = this.#uids.take();
    this.#living.add(directory.id);
    const plan = { flavor, recipe, directory, uid, priority, memory };
    const shell = await Shell.prepare(this.tools, plan, stopwatch, signal);
    // From here on Xen counts the memory itself.
    reservation[Symbol.dispose]();
    return shell;
  }

  /** From a prepared shell to a guest whose agent has said hello. */
  async boot(shell: Shell, stopwatch: Stopwatch, signal: AbortSignal): Promise<void> {
    const { config, watch } = this.#options;
    await shell.execute(stopwatch, signal);
    shell.unpause(stopwatch);
    await awaitBoot(shell, watch, config.boot_timeout_seconds * 1000, signal);
    stopwatch.step("boot");
  }

  /** Takes notice of a shell that another lightvmd has made. */
  claim(directory: ShellDirectory, record: ShellRecord | undefined): void {
    this.#living.add(directory.id);
    if (record !== undefined) this.#uids.claim(record.uid);
  }

  /** The files of a shell. */
  directoryOf(id: string): ShellDirectory {
    return new ShellDirectory(this.#options.paths, id);
  }
}
