// SPDX-License-Identifier: Apache-2.0
import type { Config } from "../shared/config.ts";
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import type { NodePaths } from "../shared/paths.ts";
import { adoptVm } from "./adoption.ts";
import { DomainWatch } from "./domain-watch.ts";
import { checkGuestFiles } from "./guest-kernel.ts";
import type { Hypervisor } from "./hypervisor.ts";
import { LightvmPodVm, type PodVmContext } from "./lightvm-pod-vm.ts";
import { destroyOrphans } from "./orphans.ts";
import { alreadyExists, PodLinks } from "./pod-links.ts";
import type { PodVm, PodVmSpec } from "./pod-vm.ts";
import { Shells } from "./shells.ts";
import { Stopwatch } from "./stopwatch.ts";
import type { DomainUsage, HostState, Toolstack } from "./toolstack.ts";

const PAGE = 4096;
/** Bytes of a pod's name as people see it. */
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
  readonly #shells: Shells;
  readonly #links: PodLinks;
  readonly #context: PodVmContext;
  /** Pods whose VMs are being made. */
  readonly #creating = new Set<string>();

  constructor(options: LightvmToolstackOptions) {
    const { config, hypervisor, logger, paths } = options;
    this.#options = options;
    const watch = new DomainWatch(hypervisor, logger, options.watchIntervalMs);
    this.#shells = new Shells({ config, paths, hypervisor, watch, logger });
    this.#links = new PodLinks(paths);
    this.#context = {
      hypervisor,
      watch,
      logger,
      vmmTimeoutMs: this.#shells.tools.vmmTimeoutMs,
      onRemoved: (podId, shellId, uid) => {
        this.#links.remove(podId);
        this.#shells.tools.onRemoved(shellId, uid);
      },
    };
  }

  /** Throws "failed-precondition" when a file is missing without which no pod can run. */
  checkFiles(): void {
    checkGuestFiles(this.#options.paths);
  }

  async create(spec: PodVmSpec, signal: AbortSignal): Promise<PodVm> {
    checkSpec(spec);
    if (this.#creating.has(spec.id) || this.#links.shellOf(spec.id) !== undefined) {
      throw alreadyExists(spec.id);
    }
    this.#creating.add(spec.id);
    try {
      return await this.#create(spec, signal);
    } finally {
      this.#creating.delete(spec.id);
    }
  }

  async adopt(spec: PodVmSpec, signal: AbortSignal): Promise<PodVm | undefined> {
    const shellId = this.#links.shellOf(spec.id);
    if (shellId === undefined) return undefined;
    const directory = this.#shells.directoryOf(shellId);
    this.#shells.claim(directory, directory.readRecord());
    return await adoptVm(this.#context, spec, directory, signal);
  }

  async destroyOrphans(known: ReadonlySet<string>): Promise<void> {
    const { hypervisor, logger, paths } = this.#options;
    await destroyOrphans({
      hypervisor,
      logger,
      parents: paths,
      links: this.#links,
      pods: known,
      shells: this.#shells.living,
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

  async #create(spec: PodVmSpec, signal: AbortSignal): Promise<PodVm> {
    const stopwatch = new Stopwatch();
    await using undo = new AsyncDisposableStack();
    const flavor = this.#shells.flavorOf(spec);
    const shell = undo.use(await this.#shells.prepare(flavor, stopwatch, signal));
    this.#links.add(spec.id, shell.id);
    undo.defer(() => this.#links.remove(spec.id));
    await this.#shells.boot(shell, stopwatch, signal);
    const record = shell.release(spec);
    undo.move();
    const { directory } = shell.plan;
    return LightvmPodVm.running(this.#context, spec, directory, record, shell, stopwatch.steps);
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
