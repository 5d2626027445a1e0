// SPDX-License-Identifier: Apache-2.0
import { dirname } from "node:path";
import type { Duplex } from "node:stream";
import type { ProcessExited } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import { makeDirectories } from "../shared/make-directories.ts";
import type { ProcessStarter } from "../shared/process-starter.ts";
import { waitFor } from "../shared/wait.ts";
import { connectToVmm } from "../vmm/connect.ts";
import type { VmmClient } from "../vmm/vmm-client.ts";
import { handOneToVmm, type PathToHand } from "../vmm/vmm-files.ts";
import { callAgent } from "./agent-call.ts";
import { attachFilesystem } from "./attach-filesystem.ts";
import { cpuShareOf } from "./cpu-share.ts";
import type { DeviceHost } from "./device-host.ts";
import type { DomainWatch } from "./domain-watch.ts";
import type { Hypervisor } from "./hypervisor.ts";
import { type AttachedDevice, PodDevices, type WantedDevice } from "./pod-devices.ts";
import { PodImages } from "./pod-images.ts";
import type {
  AgentCall,
  AgentReply,
  BreakdownStep,
  ContainerStream,
  ExecStream,
  PodVm,
  PodVmEnd,
  PodVmSpec,
  VmTap,
} from "./pod-vm.ts";
import {
  type AttachedVolumes,
  PodVolumes,
  type Volume,
  type VolumesRecord,
} from "./pod-volumes.ts";
import type { ShellDirectory } from "./shell-directory.ts";
import type { ShellRecord } from "./shell-record.ts";
import { helloOfAttach, helloOfForward, helloOfStream } from "./stream-hello.ts";
import { type PodVmLink, VmConclusion } from "./vm-conclusion.ts";
import { VmDisks } from "./vm-disks.ts";
import { realtimeNanoseconds } from "./vm-end.ts";
import type { VolumeHost } from "./volume-host.ts";

/** What all VMs of a toolstack share. */
export interface PodVmContext {
  readonly hypervisor: Hypervisor;
  readonly processes: ProcessStarter;
  readonly volumeHost: VolumeHost;
  readonly deviceHost: DeviceHost;
  readonly fileServerBinary: string;
  readonly watch: DomainWatch;
  readonly logger: Logger;
  readonly vmmTimeoutMs: number;
  /** Called when the VM's directories are gone. */
  readonly onRemoved: (podId: string, shellId: string, uid: number | undefined) => void;
}

/** The VM of a pod, from the time it runs: what is attached to it, what is asked of its agent, its end. */
export class LightvmPodVm implements PodVm {
  readonly id: string;
  readonly domid: number;
  readonly breakdown: readonly BreakdownStep[];
  readonly #context: PodVmContext;
  readonly #logger: Logger;
  readonly #directory: ShellDirectory;
  readonly #unikernel: boolean;
  readonly #vcpus: number;
  readonly #link: PodVmLink | undefined;
  readonly #images: PodImages;
  readonly #devices: PodDevices;
  readonly #volumes: PodVolumes;
  readonly #conclusion: VmConclusion;
  #record: ShellRecord;

  private constructor(
    context: PodVmContext,
    spec: PodVmSpec,
    directory: ShellDirectory,
    record: ShellRecord,
    link: PodVmLink | undefined,
    breakdown: readonly BreakdownStep[],
  ) {
    this.id = spec.id;
    this.domid = record.domid ?? 0;
    this.breakdown = breakdown;
    this.#context = context;
    this.#logger = context.logger.child({ pod: this.id, domid: this.domid });
    this.#directory = directory;
    this.#unikernel = spec.unikernel ?? false;
    this.#vcpus = spec.vcpus;
    this.#record = record;
    this.#link = link;
    this.#volumes = this.#podVolumes();
    const disks = new VmDisks({
      vmm: () => this.#alive().client,
      sender: context.hypervisor,
      socketPath: directory.socket,
      timeoutMs: context.vmmTimeoutMs,
    });
    this.#images = new PodImages(disks, record.images, (images) => this.#update({ images }));
    const note = (held: ShellRecord["disks"]) => this.#update({ disks: held });
    this.#devices = new PodDevices(context.deviceHost, disks, record.disks, note);
    this.#conclusion = new VmConclusion({
      podId: this.id,
      domid: this.domid,
      directory,
      link,
      hypervisor: context.hypervisor,
      logger: this.#logger,
      record: () => this.#record,
      note: (end) => this.#update({ end }),
    });
  }

  /** A VM whose agent has answered. */
  static running(
    context: PodVmContext,
    spec: PodVmSpec,
    directory: ShellDirectory,
    record: ShellRecord,
    link: PodVmLink,
    breakdown: readonly BreakdownStep[],
  ): LightvmPodVm {
    const vm = new LightvmPodVm(context, spec, directory, record, link, breakdown);
    vm.#conclusion.watchOver(link, context.watch);
    return vm;
  }

  /** A VM that has ended while no lightvmd was there; what is left of it is dismantled. */
  static async fallen(
    context: PodVmContext,
    spec: PodVmSpec,
    directory: ShellDirectory,
    record: ShellRecord,
    end: PodVmEnd,
  ): Promise<LightvmPodVm> {
    const vm = new LightvmPodVm(context, spec, directory, record, undefined, []);
    await vm.conclude(end);
    return vm;
  }

  get ended(): Promise<PodVmEnd> {
    return this.#conclusion.ended;
  }

  get end(): PodVmEnd | undefined {
    return this.#conclusion.end;
  }

  /** Dismantles the VM; `end` is how it ended, unless that was known before. See `VmConclusion`. */
  async conclude(end: PodVmEnd): Promise<void> {
    await this.#conclusion.conclude(end);
  }

  async attachImage(path: string, signal: AbortSignal): Promise<number> {
    return await this.#whileAlive(() => this.#images.attach(path, signal));
  }

  async attachVolumes(
    containerId: string,
    volumes: readonly Volume[],
    signal: AbortSignal,
  ): Promise<AttachedVolumes> {
    return await this.#whileAlive(() => this.#volumes.attach(containerId, volumes, signal));
  }

  async detachVolumes(containerId: string): Promise<void> {
    if (this.end === undefined) await this.#volumes.detach(containerId);
  }

  async attachDevices(
    containerId: string,
    devices: readonly WantedDevice[],
    signal: AbortSignal,
  ): Promise<AttachedDevice[]> {
    return await this.#whileAlive(() => this.#devices.attach(containerId, devices, signal));
  }

  async detachDevices(containerId: string): Promise<void> {
    if (this.end === undefined) await this.#devices.detach(containerId);
  }

  async attachNetwork({ fd, mac, mtu, offloads }: VmTap, signal: AbortSignal): Promise<void> {
    const wait = { signal, timeoutMs: this.#context.vmmTimeoutMs };
    const { hypervisor } = this.#context;
    const { socket } = this.#directory;
    await this.#whileAlive(async ({ client }) => {
      const file = await handOneToVmm(hypervisor, socket, { fd, what: "the pod's tap" }, wait);
      await client.call("attachNetwork", { file, mac, mtu, offloads }, wait);
    });
  }

  setCpuShares(cpuShares: number): void {
    this.#alive();
    const share = cpuShareOf(this.#record.flavor, { vcpus: this.#vcpus, cpuShares });
    this.#context.hypervisor.shareCpu(this.domid, share);
  }

  async setContainerLog(
    containerId: string,
    path: string,
    terminal: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const wait = { signal, timeoutMs: this.#context.vmmTimeoutMs };
    await this.#whileAlive(async ({ client }) => {
      let file = 0n;
      if (path !== "") {
        await makeDirectories(dirname(path), 0o755);
        file = await this.#hand({ path, flags: "a", mode: 0o640 }, signal);
      }
      await client.call("setContainerLog", { containerId, file, terminal }, wait);
    });
  }

  async call(
    call: AgentCall,
    options: { signal: AbortSignal; timeoutMs?: number },
  ): Promise<AgentReply> {
    return await this.#whileAlive(({ client }) => callAgent(client, call, options));
  }

  async openStream(stream: ExecStream, signal: AbortSignal): Promise<Duplex> {
    return await this.#connect(helloOfStream(stream), signal);
  }

  async attachStream(attached: ContainerStream, signal: AbortSignal): Promise<Duplex> {
    return await this.#connect(helloOfAttach(attached), signal);
  }

  async openForward(forwardId: string, signal: AbortSignal): Promise<Duplex> {
    return await this.#connect(helloOfForward(forwardId), signal);
  }

  onProcessExited(listener: (exit: ProcessExited) => void): () => void {
    return this.#link?.events.onProcessExited(listener) ?? (() => undefined);
  }

  async containerExits(): Promise<readonly ProcessExited[]> {
    return await this.#conclusion.exits(this.#context.vmmTimeoutMs);
  }

  async stop(graceMs: number): Promise<void> {
    if (!this.#conclusion.begun && graceMs > 0 && this.#link !== undefined) {
      // The guest may power off before its reply is out; its end is the answer.
      this.#askToShutDown(this.#link.client, graceMs).catch((error) =>
        this.#logger.debug({ error }, "the guest did not confirm the shutdown"),
      );
      try {
        await waitFor(this.ended, "the guest's shutdown", { timeoutMs: graceMs });
      } catch (error) {
        this.#logger.warn({ error }, "the guest does not power off and is destroyed");
      }
    }
    await this.conclude(destroyed("stopped by lightvmd"));
  }

  async #askToShutDown(client: VmmClient, timeoutMs: number): Promise<void> {
    if (this.#unikernel) await client.call("powerOff", {}, { timeoutMs });
    else await callAgent(client, { $case: "shutdown", value: {} }, { timeoutMs });
  }

  async destroy(): Promise<void> {
    await this.conclude(destroyed("destroyed by lightvmd"));
    await this.#directory.remove();
    this.#context.onRemoved(this.id, this.#directory.id, this.#record.uid);
  }

  #alive(): PodVmLink {
    if (this.#link === undefined || this.#conclusion.begun) throw this.#conclusion.error();
    return this.#link;
  }

  /** A call that the VM's end has broken off fails with that end, not with the connection's. */
  async #whileAlive<T>(act: (link: PodVmLink) => Promise<T>): Promise<T> {
    const link = this.#alive();
    try {
      return await act(link);
    } catch (error) {
      const lost = error instanceof LightvmError && error.code === "unavailable";
      throw lost && this.end !== undefined ? this.#conclusion.error(error) : error;
    }
  }

  async #connect(hello: Buffer, signal: AbortSignal): Promise<Duplex> {
    const wait = { signal, timeoutMs: this.#context.vmmTimeoutMs };
    return await this.#whileAlive(() => connectToVmm(this.#directory.socket, hello, wait));
  }

  #podVolumes(): PodVolumes {
    const { processes, volumeHost: host, fileServerBinary: binary } = this.#context;
    const { hypervisor: sender, vmmTimeoutMs: timeoutMs } = this.#context;
    const owner = {
      host,
      processes,
      binary,
      logPath: this.#directory.fileServerLog,
      timeoutMs,
      show: (sockets: readonly number[]) => {
        const { client } = this.#alive();
        const { socket: socketPath } = this.#directory;
        return attachFilesystem({ client, sender, socketPath, timeoutMs }, sockets);
      },
      note: (record: VolumesRecord) => this.#update(record),
    };
    return new PodVolumes(owner, this.#record);
  }

  #hand(file: PathToHand, signal?: AbortSignal): Promise<bigint> {
    const { hypervisor, vmmTimeoutMs } = this.#context;
    const wait = { signal, timeoutMs: vmmTimeoutMs };
    return handOneToVmm(hypervisor, this.#directory.socket, file, wait);
  }

  #update(change: Partial<ShellRecord>): void {
    this.#record = { ...this.#record, ...change };
    this.#directory.writeRecord(this.#record);
  }
}

function destroyed(message: string): PodVmEnd {
  return { reason: "destroyed", message, at: realtimeNanoseconds() };
}
