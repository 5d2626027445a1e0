// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import { throwIfCancelled } from "../shared/wait.ts";
import type { ProcessIdentity } from "../vmm/process-identity.ts";
import { VmmClient } from "../vmm/vmm-client.ts";
import { explainVmmDeath } from "../vmm/vmm-death.ts";
import { handFileToVmm } from "../vmm/vmm-files.ts";
import { spawnVmm, type VmmProcess } from "../vmm/vmm-process.ts";
import { dismantle } from "./dismantle.ts";
import { domainUuid } from "./domain-uuid.ts";
import { GuestEvents } from "./guest-events.ts";
import type { GuestImage } from "./guest-kernel.ts";
import type { Hypervisor } from "./hypervisor.ts";
import type { PodDirectory, PodRecord } from "./pod-directory.ts";
import type { PodVmSpec } from "./pod-vm.ts";
import type { Stopwatch } from "./stopwatch.ts";

/** The agent's side of every VM's vsock; VMMs do not share an address space of CIDs. */
const VSOCK_CID = 3;

/** What building a VM needs beside the VM's own specification. */
export interface ShellOptions {
  readonly hypervisor: Hypervisor;
  readonly logger: Logger;
  readonly vmmBinary: string;
  readonly deviceSlots: number;
  /** For each call to the VMM. */
  readonly vmmTimeoutMs: number;
}

/** Whose VM it is, where its files are and under which uid its VMM runs. */
export interface ShellPlace {
  readonly spec: PodVmSpec;
  readonly directory: PodDirectory;
  readonly uid: number;
}

/**
 * A domain with memory, devices' doorbells and a jailed VMM, but nothing loaded: all of a create
 * that does not depend on what will run. Disposing of it leaves nothing behind.
 */
export class Shell implements AsyncDisposable {
  readonly place: ShellPlace;
  readonly domid: number;
  readonly process: ProcessIdentity;
  readonly client: VmmClient;
  readonly events: GuestEvents;
  readonly #options: ShellOptions;
  readonly #undo: AsyncDisposableStack;

  private constructor(
    options: ShellOptions,
    parts: Pick<Shell, "place" | "domid" | "process" | "client" | "events">,
    undo: AsyncDisposableStack,
  ) {
    this.#options = options;
    this.place = parts.place;
    this.domid = parts.domid;
    this.process = parts.process;
    this.client = parts.client;
    this.events = parts.events;
    this.#undo = undo;
  }

  /** First half: directories, VMM process, domain. */
  static async prepare(
    options: ShellOptions,
    place: ShellPlace,
    stopwatch: Stopwatch,
    signal: AbortSignal,
  ): Promise<Shell> {
    const { spec, directory, uid } = place;
    await using undo = new AsyncDisposableStack();
    throwIfCancelled(signal, "the creation of the VM");
    directory.create();
    undo.defer(() => undoStep(options, "remove the pod's directories", () => directory.remove()));
    const record: PodRecord = { spec, uid, images: {} };
    directory.writeRecord(record);
    const remains: { process?: ProcessIdentity; client?: VmmClient } = {};
    const uuid = domainUuid(spec.id);
    undo.defer(() =>
      undoStep(options, "dismantle the VM", () =>
        dismantle(
          options.hypervisor,
          { uuid, process: remains.process, client: remains.client },
          options.logger,
        ),
      ),
    );
    const child = await spawnVmm({
      binary: options.vmmBinary,
      socketPath: directory.socket,
      logPath: directory.vmmLog,
      onStarted: (vmm) => {
        remains.process = vmm;
        directory.writeRecord({ ...record, vmm });
      },
    });
    const events = new GuestEvents();
    const client = controlOf(child, directory, events);
    remains.client = client;
    stopwatch.step("start the VMM");
    const prepared = await client.call("prepare", prepareArgument(options, place), {
      signal,
      timeoutMs: options.vmmTimeoutMs,
    });
    const domid = prepared.domid;
    directory.writeRecord({ ...record, vmm: child.identity, domid });
    stopwatch.step("prepare");
    stopwatch.add("prepare", prepared.breakdown);
    const parts = { place, domid, process: child.identity, client, events };
    return new Shell(options, parts, undo.move());
  }

  /** Second half: kernel, ramdisk and devices in place; the domain is ready to be unpaused. */
  async execute(image: GuestImage, stopwatch: Stopwatch, signal: AbortSignal): Promise<void> {
    const { directory } = this.place;
    const wait = { signal, timeoutMs: this.#options.vmmTimeoutMs };
    const hand = (path: string, flags: string) => {
      const file = { path, flags, mode: 0o600 };
      return handFileToVmm(this.#options.hypervisor, directory.socket, file, wait);
    };
    const kernelFile = await hand(image.kernel, "r");
    const ramdiskFile = await hand(image.ramdisk, "r");
    const bootLogFile = await hand(directory.bootLog, "a");
    const journalFile = await hand(directory.journal, "a");
    stopwatch.step("hand over the files");
    const executed = await this.client.call(
      "execute",
      {
        kernelFile,
        ramdiskFile,
        bootLogFile,
        journalFile,
        commandLine: image.commandLine,
        vsockCid: VSOCK_CID,
        entropyDevice: true,
        consoleContainerId: "",
      },
      wait,
    );
    stopwatch.step("execute");
    stopwatch.add("execute", executed.breakdown);
  }

  /** The VM has become a pod's: disposing of the shell does nothing from now on. */
  release(): void {
    this.#undo.move();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }
}

function controlOf(child: VmmProcess, directory: PodDirectory, listener: GuestEvents): VmmClient {
  const explainLoss = () => explainVmmDeath(directory.vmmLog, child.exited);
  return VmmClient.overSocket(child.control, { listener, explainLoss });
}

function prepareArgument({ deviceSlots }: ShellOptions, { spec, directory, uid }: ShellPlace) {
  return {
    name: spec.name,
    vcpus: spec.vcpus,
    memoryBytes: BigInt(spec.memoryBytes),
    deviceSlots,
    uuid: Buffer.from(domainUuid(spec.id), "hex"),
    runAsUid: uid,
    runAsGid: uid,
    jailDirectory: directory.jail,
  };
}

/**
 * An undo that fails must not hide the error that made it necessary: it is logged, and what is left
 * is found by `destroyOrphans`.
 */
async function undoStep(
  { logger }: ShellOptions,
  what: string,
  step: () => Promise<void>,
): Promise<void> {
  try {
    await step();
  } catch (error) {
    const wrapped = new LightvmError("internal", `cannot ${what}`, { cause: error });
    logger.error({ error: wrapped }, "an undo failed");
  }
}
