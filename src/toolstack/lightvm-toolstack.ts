// SPDX-License-Identifier: Apache-2.0
import { availableParallelism } from "node:os";
import type { Config } from "../shared/config.ts";
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import type { NodePaths } from "../shared/paths.ts";
import type { ProcessStarter } from "../shared/process-starter.ts";
import { adoptVm } from "./adoption.ts";
import type { DeviceHost } from "./device-host.ts";
import { DomainWatch } from "./domain-watch.ts";
import type { Flavor } from "./flavor.ts";
import { checkGuestFiles } from "./guest-kernel.ts";
import type { DomainUsage, Hypervisor } from "./hypervisor.ts";
import { LightvmPodShell } from "./lightvm-pod-shell.ts";
import { LightvmPodVm, type PodVmContext } from "./lightvm-pod-vm.ts";
import { destroyOrphans } from "./orphans.ts";
import { alreadyExists, PodLinks } from "./pod-links.ts";
import type { PodVm, PodVmSpec } from "./pod-vm.ts";
import type { PoolMetrics } from "./pool/metrics.ts";
import { ShellPool } from "./pool/pool.ts";
import type { Shell } from "./shell.ts";
import type { ShellLevel } from "./shell-record.ts";
import { Shells, type ShellWishes } from "./shells.ts";
import { Stopwatch } from "./stopwatch.ts";
import type { HostState, Toolstack } from "./toolstack.ts";
import { Turns } from "./turns.ts";
import type { PodShell } from "./unikernel.ts";
import type { VolumeHost } from "./volume-host.ts";

const MIB = 1024 * 1024;
const PAGE = 4096;
/** Starts that are allowed at once on the smallest machine: a guest that hangs must not block all. */
const LEAST_TURNS = 4;
/** Bytes of a pod's name as people see it. */
const MAX_NAME_BYTES = 64;
const MAX_VCPUS = 64;

export interface LightvmToolstackOptions {
  readonly config: Pick<Config, "vm" | "pool">;
  readonly paths: NodePaths;
  readonly hypervisor: Hypervisor;
  readonly processes: ProcessStarter;
  readonly volumeHost: VolumeHost;
  readonly deviceHost: DeviceHost;
  readonly logger: Logger;
  /** How often the domain list is looked at for silent deaths; milliseconds. */
  readonly watchIntervalMs?: number;
}

/** Builds pods' VMs with one lightvm-vmm process each, without libxl and XenStore. */
export class LightvmToolstack implements Toolstack {
  readonly #options: LightvmToolstackOptions;
  readonly #shells: Shells;
  readonly #pool: ShellPool;
  readonly #links: PodLinks;
  readonly #context: PodVmContext;
  readonly #turns: Turns;
  /** Pods whose VMs are being made. */
  readonly #creating = new Set<string>();

  constructor(options: LightvmToolstackOptions) {
    const { config, hypervisor, logger, paths, processes } = options;
    this.#options = options;
    const watch = new DomainWatch(hypervisor, logger, options.watchIntervalMs);
    const { vm, pool } = config;
    this.#shells = new Shells({ config: vm, paths, hypervisor, processes, watch, logger });
    const usual = this.#shells.flavorOf({ vcpus: vm.vcpus, memoryBytes: vm.memory_mib * MIB });
    const hostBytes = () => Number(hypervisor.info().totalMemoryBytes);
    const shells = this.#shells;
    this.#pool = new ShellPool({ config: pool, shells, watch, logger, usual, hostBytes });
    this.#turns = new Turns(vm.starts_at_once ?? Math.max(LEAST_TURNS, availableParallelism()));
    this.#links = new PodLinks(paths);
    this.#context = {
      hypervisor,
      processes,
      volumeHost: options.volumeHost,
      deviceHost: options.deviceHost,
      fileServerBinary: paths.fileServerBinary,
      watch,
      logger,
      vmmTimeoutMs: this.#shells.tools.vmmTimeoutMs,
      onRemoved: (podId, shellId, uid) => {
        this.#links.remove(podId);
        this.#shells.tools.onRemoved(shellId, uid);
        this.#pool.poke();
      },
    };
  }

  /** Throws "failed-precondition" when a file is missing without which no pod can run. */
  checkFiles(): void {
    checkGuestFiles(this.#options.paths);
  }

  /** Begins to fill the pool. */
  start(): void {
    this.#pool.start();
  }

  /** Ends what is done in the background. Pods and shells go on. */
  async close(): Promise<void> {
    await this.#pool.close();
  }

  /** Takes over a changed configuration of the pool. */
  reconfigure(pool: Config["pool"]): void {
    this.#pool.reconfigure(pool);
  }

  async turn(signal: AbortSignal): Promise<Disposable> {
    const turn = await this.#turns.enter(signal);
    const precedence = this.#pool.giveWay();
    return {
      [Symbol.dispose]: () => {
        precedence[Symbol.dispose]();
        turn[Symbol.dispose]();
      },
    };
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

  async prepareShell(spec: PodVmSpec, signal: AbortSignal): Promise<PodShell> {
    checkSpec(spec);
    if (this.#links.shellOf(spec.id) !== undefined) throw alreadyExists(spec.id);
    using _precedence = this.#pool.giveWay();
    await using undo = new AsyncDisposableStack();
    const flavor = this.#shells.flavorOf(spec);
    const stopwatch = new Stopwatch();
    // No unikernel takes memory from Xen: the pool's shells are for it when they have all theirs.
    const whole = this.#shells.hasAllMemory(flavor);
    const waiting = whole ? this.#pool.take(flavor, ["prepared"]) : undefined;
    const wishes = { memory: "whole" } as const;
    const shell = undo.use(
      waiting?.shell ?? (await this.#prepare(flavor, stopwatch, signal, wishes)),
    );
    shell.hurry();
    this.#links.add(spec.id, shell.id);
    undo.defer(() => this.#links.remove(spec.id));
    stopwatch.step(waiting === undefined ? "link the shell" : "take a prepared shell");
    const bootTimeoutMs = this.#options.config.vm.boot_timeout_seconds * 1000;
    const breakdown = stopwatch.steps;
    const options = { context: this.#context, spec, shell, breakdown, bootTimeoutMs };
    return new LightvmPodShell(options, undo.move());
  }

  async adopt(spec: PodVmSpec, signal: AbortSignal): Promise<PodVm | undefined> {
    const shellId = this.#links.shellOf(spec.id);
    if (shellId === undefined) return undefined;
    const directory = this.#shells.directoryOf(shellId);
    this.#shells.claim(directory, directory.readRecord());
    return await adoptVm(this.#context, spec, directory, signal);
  }

  async adoptShells(signal: AbortSignal): Promise<void> {
    await this.#pool.adopt(signal);
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
    return this.#options.hypervisor.domainUsages();
  }

  pool(): PoolMetrics {
    return this.#pool.metrics();
  }

  /** From the pool if a shell waits there that comes up, from nothing otherwise. */
  async #create(spec: PodVmSpec, signal: AbortSignal): Promise<PodVm> {
    const stopwatch = new Stopwatch();
    using _precedence = this.#pool.giveWay();
    const flavor = this.#shells.flavorOf(spec);
    const waiting = this.#pool.take(flavor);
    if (waiting !== undefined) {
      stopwatch.step(`take a ${waiting.level} shell`);
      try {
        return await this.#become(spec, waiting.shell, waiting.level, stopwatch, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        this.#pool.tookInVain(waiting, error);
      }
    }
    const shell = await this.#prepare(flavor, stopwatch, signal);
    return await this.#become(spec, shell, "prepared", stopwatch, signal);
  }

  /** Pushes shells of the pool out as long as they hold the memory. */
  async #prepare(
    flavor: Flavor,
    stopwatch: Stopwatch,
    signal: AbortSignal,
    wishes: ShellWishes = {},
  ): Promise<Shell> {
    for (;;) {
      try {
        return await this.#shells.prepare(flavor, stopwatch, signal, wishes);
      } catch (error) {
        const exhausted = error instanceof LightvmError && error.code === "resource-exhausted";
        if (!exhausted || !(await this.#pool.makeRoom())) throw error;
        stopwatch.step("push a shell out");
      }
    }
  }

  /** Makes a shell the VM of a pod. Whatever fails, neither shell nor link is left. */
  async #become(
    spec: PodVmSpec,
    shell: Shell,
    level: ShellLevel,
    stopwatch: Stopwatch,
    signal: AbortSignal,
  ): Promise<PodVm> {
    await using undo = new AsyncDisposableStack();
    undo.use(shell);
    this.#links.add(spec.id, shell.id);
    undo.defer(() => this.#links.remove(spec.id));
    shell.hurry();
    if (level === "booted") {
      shell.unpause(stopwatch);
      await shell.shrinkTo(spec, stopwatch, signal);
    } else await this.#shells.boot(shell, stopwatch, signal);
    shell.shareCpu(spec);
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
