// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import type {
  AgentMessage,
  HostMessage,
  ProcessExited,
  StreamHello,
} from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { GuestEnd } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import type { AttachedDevice, WantedDevice } from "./pod-devices.ts";
import type { AttachedVolumes, Volume } from "./pod-volumes.ts";

/** A call to the agent, without its id. */
export type AgentCall = NonNullable<HostMessage["call"]>;
/** A reply of the agent that is not a failure. */
export type AgentReply = NonNullable<AgentMessage["body"]>;

/** What a pod's VM must have; all but its CPU shares is fixed for its life. */
export interface PodVmSpec {
  /** Sandbox id: 64 hexadecimal digits. */
  readonly id: string;
  /** For humans, seen in `lightvm ps`: namespace/name shortened to 64 bytes. */
  readonly name: string;
  readonly vcpus: number;
  /** Of CPU time when it is short: 1024 is a whole CPU; 0 = not said. */
  readonly cpuShares?: number | undefined;
  /** Guest RAM in bytes, a multiple of 4096. */
  readonly memoryBytes: number;
  /** What boots in it is an image's own kernel, which has no agent. */
  readonly unikernel?: boolean | undefined;
}

/** Where the time of a create went, in order; nanoseconds as the VMM measured them. */
export interface BreakdownStep {
  readonly phase: "prepare" | "execute" | "toolstack";
  readonly name: string;
  readonly nanoseconds: bigint;
  readonly hypercalls: number;
  readonly bytesCopied: bigint;
}

/** How a pod's VM ended, and when. */
export interface PodVmEnd {
  readonly reason: GuestEnd["reason"] | "vmm-died" | "destroyed";
  readonly message: string;
  /** Host CLOCK_REALTIME in nanoseconds. */
  readonly at: bigint;
}

/** One stdio stream of an exec. */
export type ExecStream = Pick<StreamHello, "containerId" | "execId" | "stream">;

/** One stdio stream of a container's first process. */
export interface ContainerStream {
  readonly containerId: string;
  readonly stream: StreamHello["stream"];
  /** The container's stdin ends with this one. */
  readonly endsStdin: boolean;
}

/** The host's end of a VM's network interface; a tap as vmm.proto's AttachNetwork wants it. */
export interface VmTap {
  readonly fd: number;
  /** The guest's hardware address, 6 bytes. */
  readonly mac: Buffer;
  readonly mtu: number;
  /** Checksums and TCP segmentation are left to the guest and taken from it. */
  readonly offloads: boolean;
}

/**
 * The VM of one pod, running or ended. Lives as long as lightvmd knows the pod; a restarted
 * lightvmd adopts it again (`Toolstack.adopt`).
 */
export interface PodVm {
  readonly id: string;
  /** Xen's number of the domain. */
  readonly domid: number;
  readonly breakdown: readonly BreakdownStep[];
  /** Resolves when the VM is gone for good, for whatever reason; never rejects. */
  readonly ended: Promise<PodVmEnd>;
  /** Set once `ended` has resolved. */
  readonly end: PodVmEnd | undefined;
  /**
   * Hot-plugs an image file (EROFS) read-only; the same path is plugged once and shared.
   * Returns the noxs device id.
   */
  attachImage(path: string, signal: AbortSignal): Promise<number>;
  /**
   * Mounts host paths for a container and shows them to the guest. What has been mounted when it
   * throws, `detachVolumes` takes away.
   */
  attachVolumes(
    containerId: string,
    volumes: readonly Volume[],
    signal: AbortSignal,
  ): Promise<AttachedVolumes>;
  /** Takes a container's volumes away. Idempotent; what an ended VM had is gone with it. */
  detachVolumes(containerId: string): Promise<void>;
  /**
   * Opens devices of the host for a container and shows block devices to the guest, as disks; others
   * must be such that the guest has its own. What has been done when it throws, `detachDevices` undoes.
   */
  attachDevices(
    containerId: string,
    devices: readonly WantedDevice[],
    signal: AbortSignal,
  ): Promise<AttachedDevice[]>;
  /** Closes a container's block devices. Idempotent; what an ended VM had is closed with it. */
  detachDevices(containerId: string): Promise<void>;
  /** Hot-plugs a network interface over an open tap, of which the VMM gets a copy. */
  attachNetwork(tap: VmTap, signal: AbortSignal): Promise<void>;
  /** Changes what the pod gets of CPU time when it is short; see PodVmSpec. */
  setCpuShares(cpuShares: number): void;
  /** Opens (creates, appends) the CRI log file at `path` and hands it to the VMM; "" drops output. */
  setContainerLog(
    containerId: string,
    path: string,
    terminal: boolean,
    signal: AbortSignal,
  ): Promise<void>;
  /** One call to the agent. Throws LightvmError; agent failures keep their meaning in `code`. */
  call(call: AgentCall, options: { signal: AbortSignal; timeoutMs?: number }): Promise<AgentReply>;
  /** Opens one stdio stream of an exec; must be open before the Exec call. */
  openStream(stream: ExecStream, signal: AbortSignal): Promise<Duplex>;
  /** Joins one stdio stream of a container that runs; ends at once when there is no such stream. */
  attachStream(stream: ContainerStream, signal: AbortSignal): Promise<Duplex>;
  /** Opens our end of a forwarded connection; must be open before the PortForward call. */
  openForward(forwardId: string, signal: AbortSignal): Promise<Duplex>;
  /** Exits of containers and execs, from the moment of subscription. Returns the unsubscribe. */
  onProcessExited(listener: (exit: ProcessExited) => void): () => void;
  /** Exits of containers that this VM has seen so far, also before lightvmd's last start. */
  containerExits(): Promise<readonly ProcessExited[]>;
  /** Ends the guest in good order (agent Shutdown, or sysctl), destroys it when `graceMs` is over. Idempotent. */
  stop(graceMs: number): Promise<void>;
  /** Ends the VMM, destroys the domain, removes jail and pod directory. Idempotent, never leaks. */
  destroy(): Promise<void>;
}
