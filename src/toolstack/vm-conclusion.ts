// SPDX-License-Identifier: Apache-2.0
import type { ProcessExited } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import type { VmmClient } from "../vmm/vmm-client.ts";
import { dismantle } from "./dismantle.ts";
import { domainUuid } from "./domain-uuid.ts";
import type { DomainFate, DomainWatch } from "./domain-watch.ts";
import type { GuestEvents } from "./guest-events.ts";
import type { Hypervisor } from "./hypervisor.ts";
import { readJournal } from "./journal.ts";
import type { PodVmEnd } from "./pod-vm.ts";
import { endFileServer } from "./pod-volumes.ts";
import type { ShellDirectory } from "./shell-directory.ts";
import type { ShellRecord } from "./shell-record.ts";
import { endOfGuest, endToldBy, realtimeNanoseconds, STATE_MS, withLastWords } from "./vm-end.ts";

/** The two ways to hear from a VM that is alive. */
export interface PodVmLink {
  readonly client: VmmClient;
  readonly events: GuestEvents;
}

/** The VM that is to be concluded. */
export interface ConcludedVm {
  readonly podId: string;
  readonly domid: number;
  readonly directory: ShellDirectory;
  readonly link: PodVmLink | undefined;
  readonly hypervisor: Hypervisor;
  readonly logger: Logger;
  /** Its record as it is at that time. */
  record(): ShellRecord;
  /** Writes the end down, so that a later lightvmd knows it. */
  note(end: PodVmEnd): void;
}

/**
 * The end of a pod's VM.
 *
 *            guest ends | VMM dies | domain vanishes | stop | destroy
 *   running ─────────────────────────────────────────────────────────► concluding ──► ended
 *
 * `concluding` happens once, whatever comes first: exits are read (VMM, or the journal it left),
 * the end is written down, `ended` resolves, then VMM and domain are dismantled.
 */
export class VmConclusion {
  readonly ended: Promise<PodVmEnd>;
  readonly #vm: ConcludedVm;
  readonly #resolveEnded: (end: PodVmEnd) => void;
  #end: PodVmEnd | undefined;
  #exits: readonly ProcessExited[] = [];
  #running: Promise<void> | undefined;
  #watching: Disposable | undefined;

  constructor(vm: ConcludedVm) {
    this.#vm = vm;
    const { promise, resolve } = Promise.withResolvers<PodVmEnd>();
    this.ended = promise;
    this.#resolveEnded = resolve;
  }

  /** How the VM has ended; undefined before. */
  get end(): PodVmEnd | undefined {
    return this.#end;
  }

  /** Whether the VM has ended or is about to. */
  get begun(): boolean {
    return this.#end !== undefined || this.#running !== undefined;
  }

  /** See the class comment. Who comes later waits for the first; after a failure tries again. */
  async conclude(end: PodVmEnd): Promise<void> {
    this.#running ??= this.#run(end);
    try {
      await this.#running;
    } catch (error) {
      this.#running = undefined;
      throw error;
    }
  }

  /** Concludes as soon as the guest, the VMM or Xen tells of an end. */
  watchOver({ client, events }: PodVmLink, watch: DomainWatch): void {
    void events.ended.then((end) => this.#concludeLogged(endOfGuest(end)));
    void client.lost.then((reason) =>
      this.#concludeLogged({
        reason: "vmm-died",
        message: reason.message,
        at: realtimeNanoseconds(),
      }),
    );
    this.#watching = watch.watch(
      this.#vm.domid,
      domainUuid(this.#vm.directory.id),
      (fate) => void this.#concludeFate(fate, client),
    );
  }

  /** Processes of containers that have ended, those of the whole VM's life once it is over. */
  async exits(timeoutMs: number): Promise<readonly ProcessExited[]> {
    if (this.#end !== undefined || this.#vm.link === undefined) return this.#exits;
    return await this.#readExits(timeoutMs);
  }

  /** What a call hears that comes too late. */
  error(cause?: unknown): LightvmError {
    const how = this.#end?.message ?? "it is being destroyed";
    const message = `the VM of pod ${this.#vm.podId} has ended: ${how}`;
    return new LightvmError("unavailable", message, { cause });
  }

  /** The domain has ended; its VMM may know better why. */
  async #concludeFate(fate: DomainFate, client: VmmClient): Promise<void> {
    await this.#concludeLogged(await endToldBy(client, fate, this.#vm.logger));
  }

  async #concludeLogged(end: PodVmEnd): Promise<void> {
    try {
      await this.conclude(end);
    } catch (error) {
      // `destroy` tries again and reports.
      this.#vm.logger.error({ error }, "cannot dismantle an ended VM");
    }
  }

  async #run(end: PodVmEnd): Promise<void> {
    this.#watching?.[Symbol.dispose]();
    const { directory, hypervisor, link, logger } = this.#vm;
    if (this.#end === undefined) await this.#settle(withLastWords(end, directory.bootLog));
    const { vmm, fileServer } = this.#vm.record();
    const uuid = domainUuid(directory.id);
    await dismantle(hypervisor, { uuid, process: vmm, client: link?.client }, logger);
    await endFileServer(fileServer);
  }

  async #settle(end: PodVmEnd): Promise<void> {
    const { logger } = this.#vm;
    try {
      this.#exits = await this.#readExits(STATE_MS);
      this.#vm.note(end);
    } catch (error) {
      logger.error({ error }, "cannot record how a VM ended");
    }
    this.#end = end;
    logger.info({ reason: end.reason, detail: end.message }, "the VM has ended");
    this.#resolveEnded(end);
  }

  /** The VMM knows the exits best; its journal holds them too. */
  async #readExits(timeoutMs: number): Promise<readonly ProcessExited[]> {
    const { directory, link, logger } = this.#vm;
    try {
      if (link !== undefined) {
        return (await link.client.call("getState", {}, { timeoutMs })).exits;
      }
    } catch (error) {
      logger.debug({ error }, "exits are read from the journal");
    }
    return (await readJournal(directory.journal)).exits;
  }
}
