// SPDX-License-Identifier: Apache-2.0
import type { AttachmentStep } from "../network/network.ts";
import { LightvmError } from "../shared/errors.ts";
import { Mutex } from "../shared/mutex.ts";
import type { PodVm, PodVmSpec } from "../toolstack/pod-vm.ts";
import type { Container } from "./container.ts";
import { CpuRate } from "./cpu-rate.ts";
import type { SandboxMetadata, SandboxStatus } from "./sandbox-record.ts";
import type { UnikernelSeat } from "./unikernel-pod.ts";

/** What the CRI calls a sandbox's state; "creating" is not shown to anyone. */
export type SandboxState = "creating" | "ready" | "not-ready";

/** The state that follows from the facts. */
export function sandboxState({ readyAt, end, removing }: SandboxStatus): SandboxState {
  if (readyAt === undefined && end === undefined) return "creating";
  return end === undefined && !removing ? "ready" : "not-ready";
}

/** A pod's sandbox, which is a VM, with the containers in it. */
export class Sandbox {
  readonly metadata: SandboxMetadata;
  readonly containers: Map<string, Container> = new Map();
  /** Held by RemovePodSandbox: one at a time. */
  readonly lock: Mutex = new Mutex();
  readonly cpuRate: CpuRate = new CpuRate();
  /** Its VM, running or ended; none before it has booted and when nothing of it is left. */
  vm: PodVm | undefined;
  /** Of a sandbox for unikernels, which has no `vm`. */
  readonly unikernel: UnikernelSeat | undefined;
  /** Where the time of its attachment to the network went; forgotten when lightvmd restarts. */
  networkSteps: readonly AttachmentStep[] = [];
  /** Resolves once the end of the VM is written down, for the sandbox and all containers. */
  concluded: Promise<void> = Promise.resolve();
  readonly #persist: (status: SandboxStatus) => void;
  readonly #observe: (state: SandboxState) => void;
  readonly #endListeners = new Set<(message: string) => void>();
  #status: SandboxStatus;

  constructor(
    metadata: SandboxMetadata,
    status: SandboxStatus,
    persist: (status: SandboxStatus) => void,
    /** Told of each new state, in order. */
    observe: (state: SandboxState) => void,
  ) {
    this.metadata = metadata;
    this.unikernel = metadata.vm.unikernel ? { shell: undefined, vm: undefined } : undefined;
    this.#status = status;
    this.#persist = persist;
    this.#observe = observe;
  }

  get id(): string {
    return this.metadata.id;
  }

  get status(): SandboxStatus {
    return this.#status;
  }

  get state(): SandboxState {
    return sandboxState(this.#status);
  }

  /** Xen's number of the domain that it has now. */
  get domid(): number | undefined {
    return (this.unikernel?.vm ?? this.unikernel?.shell ?? this.vm)?.domid;
  }

  get vmSpec(): PodVmSpec {
    const { config, vm } = this.metadata;
    return { id: this.id, ...vm, cpuShares: config.resources.cpuShares };
  }

  /** Writes facts down, then believes them. Throws when they cannot be written. */
  update(change: Partial<SandboxStatus>): void {
    const before = this.state;
    const status = { ...this.#status, ...change };
    this.#persist(status);
    this.#status = status;
    if (this.state !== before) this.#observe(this.state);
  }

  /** The end of its VM; the first one told stays. Believed even when it cannot be written. */
  settle(end: NonNullable<SandboxStatus["end"]>): void {
    if (this.#status.end !== undefined) return;
    const before = this.state;
    this.#status = { ...this.#status, end };
    if (this.state !== before) this.#observe(this.state);
    for (const listener of this.#endListeners) listener(end.message);
    this.#persist(this.#status);
  }

  /** Calls `listener` when the sandbox ends, with the reason. Returns the unsubscribe. */
  onEnd(listener: (message: string) => void): () => void {
    this.#endListeners.add(listener);
    return () => this.#endListeners.delete(listener);
  }

  /**
   * The VM of a sandbox that can take work. Throws "failed-precondition" with the reason, and
   * "unimplemented" when there is no agent in it.
   */
  requireVm(): PodVm {
    if (this.unikernel !== undefined) {
      throw new LightvmError(
        "unimplemented",
        `sandbox ${this.id} is for unikernels, which have no processes, streams and files of their own: ` +
          "logs, stats, stop and restart work, what needs an agent in the guest does not",
      );
    }
    if (this.state === "ready" && this.vm !== undefined && this.vm.end === undefined) {
      return this.vm;
    }
    const why = this.#status.end?.message ?? this.vm?.end?.message ?? "it is being removed";
    throw new LightvmError("failed-precondition", `sandbox ${this.id} is not ready: ${why}`);
  }
}
