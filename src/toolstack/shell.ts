// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import type { NodePaths } from "../shared/paths.ts";
import type { ProcessStarter } from "../shared/process-starter.ts";
import { throwIfCancelled } from "../shared/wait.ts";
import { type ProcessIdentity, setBackground } from "../vmm/process-identity.ts";
import { VmmClient } from "../vmm/vmm-client.ts";
import { explainVmmDeath } from "../vmm/vmm-death.ts";
import { type FileToHand, handToVmm, type PathToHand } from "../vmm/vmm-files.ts";
import { spawnVmm, type VmmProcess } from "../vmm/vmm-process.ts";
import { callAgent } from "./agent-call.ts";
import { cpuShareOf, isUsual } from "./cpu-share.ts";
import { dismantle } from "./dismantle.ts";
import { domainUuid } from "./domain-uuid.ts";
import type { DomainFate } from "./domain-watch.ts";
import type { Flavor } from "./flavor.ts";
import { GuestEvents } from "./guest-events.ts";
import type { Hypervisor } from "./hypervisor.ts";
import { initialMemoryOf } from "./initial-memory.ts";
import type { PodVmEnd, PodVmSpec } from "./pod-vm.ts";
import type { Recipe } from "./recipe.ts";
import type { ShellDirectory } from "./shell-directory.ts";
import type { ShellLevel, ShellRecord } from "./shell-record.ts";
import type { Stopwatch } from "./stopwatch.ts";
import { endToldBy } from "./vm-end.ts";

/** The agent's side of every VM's vsock; VMMs do not share an address space of CIDs. */
const VSOCK_CID = 3;

/** Step of a create: what the guest ran before lightvmd had its CPU back, a part of its boot. */
const FIRST_RUN = "the guest runs first";

/** What all shells of a toolstack share. */
export interface ShellTools {
  readonly hypervisor: Hypervisor;
  readonly processes: ProcessStarter;
  readonly logger: Logger;
  readonly paths: Pick<NodePaths, "vmmBinary">;
  /** For each call to a VMM. */
  readonly vmmTimeoutMs: number;
  /** What a small guest has from the start; see `initialMemoryOf`. */
  readonly initialMemoryBytes: number;
  /** Called when nothing of a shell, or of the VM that it became, is left. */
  readonly onRemoved: (shellId: string, uid: number | undefined) => void;
}

/** Whether somebody waits for it; otherwise its VMM runs when nobody else wants the CPU. */
export type ShellPriority = "foreground" | "background";

/** What one shell is to be, where its files are and under which uid its VMM runs. */
export interface ShellPlan {
  readonly flavor: Flavor;
  readonly recipe: Recipe;
  readonly directory: ShellDirectory;
  readonly uid: number;
  readonly priority: ShellPriority;
  /** Its guest is to take memory from Xen as it needs it, which Tinyx can; or it has all at once. */
  readonly memory: "grows" | "whole";
}

/** Tokens by which the VMM knows the files that it was handed. */
interface HandedFiles {
  readonly kernelFile: bigint;
  readonly ramdiskFile: bigint;
  readonly bootLogFile: bigint;
  readonly journalFile: bigint;
}

/** What a loaded shell is executed with: Load has taken the files. */
const TAKEN_FILES: HandedFiles = {
  kernelFile: 0n,
  ramdiskFile: 0n,
  bootLogFile: 0n,
  journalFile: 0n,
};

type Parts = Pick<Shell, "plan" | "domid" | "process" | "client" | "events">;

/**
 * A VM that has no pod yet: a domain with memory, devices' doorbells and a jailed VMM. All of a
 * create that does not depend on the pod. Disposing of it leaves nothing behind.
 *
 *            prepare            load          execute, unpause, hello, pause
 *   (nothing) ──────► prepared ──────► loaded ──────────────────────────────► booted
 *                         │ execute, unpause, hello │                            │ unpause
 *                         └─────────────────────────┴───► a pod's VM ◄───────────┘
 */
export class Shell implements AsyncDisposable {
  readonly plan: ShellPlan;
  readonly domid: number;
  readonly process: ProcessIdentity;
  readonly client: VmmClient;
  readonly events: GuestEvents;
  readonly #tools: ShellTools;
  readonly #undo: AsyncDisposableStack;
  #record: ShellRecord;
  #files: HandedFiles | undefined;

  private constructor(
    tools: ShellTools,
    parts: Parts,
    record: ShellRecord,
    undo: AsyncDisposableStack,
  ) {
    this.#tools = tools;
    this.plan = parts.plan;
    this.domid = parts.domid;
    this.process = parts.process;
    this.client = parts.client;
    this.events = parts.events;
    this.#record = record;
    this.#undo = undo;
  }

  /** Directories, VMM process, domain. */
  static async prepare(
    tools: ShellTools,
    plan: ShellPlan,
    stopwatch: Stopwatch,
    signal: AbortSignal,
  ): Promise<Shell> {
    const { flavor, recipe, directory, uid } = plan;
    await using undo = new AsyncDisposableStack();
    throwIfCancelled(signal, "the creation of the VM");
    const remains: { process?: ProcessIdentity; client?: VmmClient } = {};
    undo.defer(() => removeShell(tools, plan, remains));
    directory.create();
    const record: ShellRecord = { flavor, recipe: recipe.stamp, uid, images: {}, disks: [] };
    directory.writeRecord(record);
    const child = spawnVmm(tools.processes, {
      binary: tools.paths.vmmBinary,
      socketPath: directory.socket,
      logPath: directory.vmmLog,
      onStarted: (vmm) => {
        remains.process = vmm;
        if (plan.priority === "background") setBackground(vmm, true);
        directory.writeRecord({ ...record, vmm });
      },
    });
    const events = new GuestEvents();
    const client = controlOf(child, directory, events);
    remains.client = client;
    stopwatch.step("start the VMM");
    const wait = { signal, timeoutMs: tools.vmmTimeoutMs };
    const prepared = await client.call("prepare", prepareArgument(tools, plan), wait);
    const { domid } = prepared;
    const built = { ...record, vmm: child.identity, domid };
    directory.writeRecord(built);
    stopwatch.step("prepare");
    stopwatch.add("prepare", prepared.breakdown);
    const parts = { plan, domid, process: child.identity, client, events };
    return new Shell(tools, parts, built, undo.move());
  }

  /** A shell that another lightvmd has made and that still waits for a pod. */
  static adopted(tools: ShellTools, parts: Parts, record: ShellRecord): Shell {
    const undo = new AsyncDisposableStack();
    const { process, client } = parts;
    undo.defer(() => removeShell(tools, parts.plan, { process, client }));
    const shell = new Shell(tools, parts, record, undo);
    // Tokens of files that a prepared one was handed are forgotten: it is handed them again.
    if (record.level === "loaded") shell.#files = TAKEN_FILES;
    return shell;
  }

  get id(): string {
    return this.plan.directory.id;
  }

  /** What is written down of it. */
  get record(): ShellRecord {
    return this.#record;
  }

  /** Hands files to its VMM; see `handToVmm`. When it has died, the error says how. */
  async hand<Name extends string>(
    files: Readonly<Record<Name, FileToHand | undefined>>,
    signal: AbortSignal,
  ): Promise<Record<Name, bigint>> {
    const { hypervisor, vmmTimeoutMs: timeoutMs } = this.#tools;
    try {
      return await handToVmm(hypervisor, this.plan.directory.socket, files, { signal, timeoutMs });
    } catch (error) {
      throw await this.client.reasonFor(error);
    }
  }

  /** Hands the files over that the guest will be loaded from and written down to. */
  async handOver(signal: AbortSignal): Promise<void> {
    this.#files ??= await this.#handUsual(signal);
  }

  /** The journal's token, if its VMM has the file: a shell that has waited was handed it when made. */
  get journalFile(): bigint | undefined {
    return this.#files?.journalFile;
  }

  /** Kernel and ramdisk in place. */
  async load(signal: AbortSignal): Promise<void> {
    const files = this.#files ?? (await this.#handUsual(signal));
    await this.client.call("load", files, { signal, timeoutMs: this.#tools.vmmTimeoutMs });
    this.#files = TAKEN_FILES;
  }

  /** Kernel, ramdisk and devices in place; the domain is ready to be unpaused. */
  async execute(stopwatch: Stopwatch, signal: AbortSignal): Promise<void> {
    const files = this.#files ?? (await this.#handUsual(signal));
    stopwatch.step("hand over the files");
    const { commandLine } = this.plan.recipe.image;
    const argument = {
      ...files,
      commandLine,
      vsockCid: VSOCK_CID,
      entropyDevice: true,
      consoleContainerId: "",
    };
    const wait = { signal, timeoutMs: this.#tools.vmmTimeoutMs };
    const executed = await this.client.call("execute", argument, wait);
    stopwatch.step("execute");
    stopwatch.add("execute", executed.breakdown);
  }

  /** How its guest has ended, by Xen and by its VMM. */
  endOf(fate: DomainFate): Promise<PodVmEnd> {
    return endToldBy(this.client, fate, this.#tools.logger);
  }

  /** Lets the guest run, and books that. */
  unpause(stopwatch: Stopwatch): void {
    const guest = this.#tools.hypervisor.unpauseDomain(this.domid);
    stopwatch.stepApart("unpause", { name: FIRST_RUN, nanoseconds: guest });
  }

  pause(): void {
    this.#tools.hypervisor.pauseDomain(this.domid);
  }

  /**
   * Makes a guest that runs as large as its pod: it switches vCPUs off and forgoes memory that has not
   * come yet. Xen holds it to that, by `shareCpu` and here. Throws when it has taken too much already.
   */
  async shrinkTo(pod: PodVmSpec, stopwatch: Stopwatch, signal: AbortSignal): Promise<void> {
    const { memoryBytes, vcpus } = this.plan.flavor;
    const wait = { signal, timeoutMs: this.#tools.vmmTimeoutMs };
    if (vcpus !== pod.vcpus) {
      const call = { $case: "forgoProcessors", value: { left: pod.vcpus } } as const;
      await callAgent(this.client, call, wait);
      stopwatch.step("switch vCPUs off");
    }
    if (memoryBytes !== pod.memoryBytes) {
      const bytes = BigInt(memoryBytes - pod.memoryBytes);
      await callAgent(this.client, { $case: "forgoMemory", value: { bytes } }, wait);
      this.#tools.hypervisor.limitMemory(this.domid, BigInt(pod.memoryBytes));
      stopwatch.step("shrink");
    }
  }

  /** Tells Xen what the pod is to get of the CPUs. Not before it has booted: that is not the pod's doing. */
  shareCpu(pod: PodVmSpec): void {
    const share = cpuShareOf(this.plan.flavor, pod);
    if (!isUsual(share)) this.#tools.hypervisor.shareCpu(this.domid, share);
  }

  /** Somebody waits for it from now on. */
  hurry(): void {
    if (this.plan.priority === "background") setBackground(this.process, false);
  }

  /** It waits for a pod from now on; the next lightvmd may adopt it. */
  waitsAt(level: ShellLevel): void {
    this.#write({ level });
  }

  /** It is a pod's VM from now on: disposing of the shell does nothing any more. */
  release({ id, name }: PodVmSpec): ShellRecord {
    this.#write({ pod: { id, name } });
    this.#undo.move();
    return this.#record;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }

  async #handUsual(signal: AbortSignal): Promise<HandedFiles> {
    const { directory, recipe } = this.plan;
    const files = {
      kernelFile: { path: recipe.image.kernel, flags: "r" },
      ramdiskFile: { path: recipe.image.ramdisk, flags: "r" },
      bootLogFile: { path: directory.bootLog, flags: "a", mode: 0o600 },
      journalFile: fileOfJournal(directory),
    };
    return await this.hand(files, signal);
  }

  #write(change: Partial<ShellRecord>): void {
    const record = { ...this.#record, ...change };
    this.plan.directory.writeRecord(record);
    this.#record = record;
  }
}

/** How a shell's VMM gets its journal. */
export function fileOfJournal({ journal }: ShellDirectory): PathToHand {
  return { path: journal, flags: "a", mode: 0o600 };
}

function controlOf(child: VmmProcess, directory: ShellDirectory, listener: GuestEvents): VmmClient {
  const explainLoss = () => explainVmmDeath(directory.vmmLog, child.exited);
  return VmmClient.overSocket(child.control, { listener, explainLoss });
}

function prepareArgument(tools: ShellTools, { flavor, directory, uid, memory }: ShellPlan) {
  const initial = memory === "whole" ? 0 : initialMemoryOf(flavor, tools.initialMemoryBytes);
  return {
    name: `shell-${directory.id}`,
    vcpus: flavor.vcpus,
    memoryBytes: BigInt(flavor.memoryBytes),
    initialMemoryBytes: BigInt(initial),
    deviceSlots: flavor.deviceSlots,
    uuid: Buffer.from(domainUuid(directory.id), "hex"),
    runAsUid: uid,
    runAsGid: uid,
    jailDirectory: directory.jail,
  };
}

/**
 * An undo that fails must not hide the error that made it necessary: it is logged, and what is left
 * is found by `destroyOrphans`.
 */
async function removeShell(
  { hypervisor, logger, onRemoved }: ShellTools,
  { directory, uid }: ShellPlan,
  { process, client }: { process?: ProcessIdentity; client?: VmmClient },
): Promise<void> {
  try {
    const uuid = domainUuid(directory.id);
    await dismantle(hypervisor, { uuid, process, client }, logger);
    await directory.remove();
    onRemoved(directory.id, uid);
  } catch (cause) {
    const error = new LightvmError("internal", "cannot dismantle the VM", { cause });
    logger.error({ error, shell: directory.id }, "an undo failed");
  }
}
