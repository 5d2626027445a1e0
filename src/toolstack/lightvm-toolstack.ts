// SPDX-License-Identifier: Apache-2.0
import type { Config } from "../shared/config.ts";
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import type { NodePaths } from "../shared/paths.ts";
import { Admission } from "./admission.ts";
import { adoptVm } from "./adoption.ts";
import { awaitBoot } from "./boot.ts";
import { DomainWatch } from "./domain-watch.ts";
import { checkGuestFiles, guestImage } from "./guest-kernel.ts";
import type { Hypervisor } from "./hypervisor.ts";
import { LightvmPodVm, type PodVmContext } from "./lightvm-pod-vm.ts";
import { destroyOrphans } from "./orphans.ts";
import { isSandboxId, PodDirectory } from "./pod-directory.ts";
import type { PodVm, PodVmSpec } from "./pod-vm.ts";
import { Shell, type ShellOptions } from "./shell.ts";
import { Stopwatch } from "./stopwatch.ts";
import type { DomainUsage, HostState, Toolstack } from "./toolstack.ts";
import { UidPool } from "./uid-pool.ts";

const MIB = 1024 * 1024;
const PAGE = 4096;
/** Bytes of a domain's handle for humans (vmm.proto, Prepare.name). */
const MAX_NAME_BYTES = 64;
const MAX_VCPUS = 64;

export interface LightvmToolstackOptions {
  readonly config: Config["vm"];
  readonly paths: NodePaths;
  readonly hypervisor: Hypervisor;
  readonly logger: Logger;
  /** How often the domain list is looked at for silent deaths; milliseconds. */
  readonly watchIntervalMs?: number;
}

/** Builds pods' VMs with one lightvm-vmm process each, without libxl and XenStore. */
export class LightvmToolstack implements Toolstack {
  readonly #options: LightvmToolstackOptions;
  readonly #admission: Admission;
  readonly #watch: DomainWatch;
  readonly #uids: UidPool;
  readonly #context: PodVmContext;
  /** VMs that this lightvmd builds, holds or removes: no orphans. */
  readonly #live = new Set<string>();

  constructor(options: LightvmToolstackOptions) {
    const { config, hypervisor, logger } = options;
    this.#options = options;
    this.#admission = new Admission(hypervisor, config.reserved_memory_mib * MIB);
    this.#watch = new DomainWatch(hypervisor, logger, options.watchIntervalMs);
    this.#uids = new UidPool(config.first_uid);
    this.#context = {
      hypervisor,
      watch: this.#watch,
      logger,
      vmmTimeoutMs: config.vmm_timeout_seconds * 1000,
      onRemoved: (id, uid) => {
        this.#live.delete(id);
        this.#uids.release(uid);
      },
    };
  }

  /** Throws "failed-precondition" when a file is missing without which no pod can run. */
  checkFiles(): void {
    checkGuestFiles(this.#options.paths);
  }

  async create(spec: PodVmSpec, signal: AbortSignal): Promise<PodVm> {
    checkSpec(spec);
    if (this.#live.has(spec.id)) {
      throw new LightvmError("already-exists", `there is a VM of pod ${spec.id} already`);
    }
    const uid = this.#uids.take();
    this.#live.add(spec.id);
    try {
      return await this.#build(spec, uid, signal);
    } catch (error) {
      this.#context.onRemoved(spec.id, uid);
      throw error;
    }
  }

  async adopt(spec: PodVmSpec, signal: AbortSignal): Promise<PodVm | undefined> {
    const directory = this.#directoryOf(spec.id);
    const uid = directory.readRecord()?.uid;
    if (uid !== undefined) this.#uids.claim(uid);
    this.#live.add(spec.id);
    const vm = await adoptVm(this.#context, directory, signal);
    if (vm === undefined) this.#context.onRemoved(spec.id, uid ?? 0);
    return vm;
  }

  async destroyOrphans(known: ReadonlySet<string>): Promise<void> {
    const { hypervisor, logger, paths } = this.#options;
    await destroyOrphans({
      hypervisor,
      logger,
      parents: paths,
      known: new Set([...known, ...this.#live]),
    });
  }

  host(): HostState {
    const { xenVersion, freeMemoryBytes, totalMemoryBytes } = this.#options.hypervisor.info();
    return { xenVersion, freeMemoryBytes, totalMemoryBytes };
  }

  domains(): ReadonlyMap<number, DomainUsage> {
    const domains = this.#options.hypervisor.listDomains();
    return new Map(domains.map((domain) => [domain.domid, domain]));
  }

  async #build(spec: PodVmSpec, uid: number, signal: AbortSignal): Promise<PodVm> {
    const { config, hypervisor, paths } = this.#options;
    const stopwatch = new Stopwatch();
    const directory = this.#directoryOf(spec.id);
    using reservation = this.#admission.reserve(spec);
    stopwatch.step("admission");
    const place = { spec, directory, uid };
    await using shell = await Shell.prepare(this.#shellOptions(), place, stopwatch, signal);
    // From here on Xen counts the memory itself.
    reservation[Symbol.dispose]();
    const image = guestImage(paths, spec.vcpus, config.kernel_arguments);
    await shell.execute(image, stopwatch, signal);
    hypervisor.unpauseDomain(shell.domid);
    stopwatch.step("unpause");
    await awaitBoot(shell, this.#watch, config.boot_timeout_seconds * 1000, signal);
    stopwatch.step("boot");
    const record = directory.readRecord() ?? { spec, uid, images: {} };
    shell.release();
    return LightvmPodVm.running(this.#context, directory, record, shell, stopwatch.steps);
  }

  #shellOptions(): ShellOptions {
    const { config, hypervisor, logger, paths } = this.#options;
    return {
      hypervisor,
      logger,
      vmmBinary: paths.vmmBinary,
      deviceSlots: config.device_slots,
      vmmTimeoutMs: this.#context.vmmTimeoutMs,
    };
  }

  #directoryOf(id: string): PodDirectory {
    if (!isSandboxId(id)) {
      throw new LightvmError(
        "invalid-argument",
        `"${id}" is no sandbox id (64 hexadecimal digits)`,
      );
    }
    return new PodDirectory(this.#options.paths, id);
  }
}

function checkSpec({ name, vcpus, memoryBytes }: PodVmSpec): void {
  const refuse = (what: string) => new LightvmError("invalid-argument", `the pod's VM ${what}`);
  if (Buffer.byteLength(name) > MAX_NAME_BYTES) throw refuse(`name "${name}" is too long`);
  if (!Number.isInteger(vcpus) || vcpus < 1 || vcpus > MAX_VCPUS) {
    throw refuse(`cannot have ${vcpus} vCPUs; 1 to ${MAX_VCPUS} are possible`);
  }
  if (!Number.isSafeInteger(memoryBytes) || memoryBytes <= 0 || memoryBytes % PAGE !== 0) {
    throw refuse(`cannot have ${memoryBytes} bytes of memory: not a multiple of ${PAGE}`);
  }
}
