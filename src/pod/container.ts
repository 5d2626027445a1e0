// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import { Mutex } from "../shared/mutex.ts";
import type {
  ContainerExit,
  ContainerMetadata,
  ContainerResources,
  ContainerStatus,
} from "./container-record.ts";
import { CpuRate } from "./cpu-rate.ts";

/** What the CRI calls a container's state; "creating" is not shown to anyone. */
export type ContainerState = "creating" | "created" | "running" | "exited";

/** The state that follows from the facts. */
export function containerState(status: ContainerStatus): ContainerState {
  if (status.exit !== undefined) return "exited";
  if (status.startedAt !== undefined) return "running";
  return status.created ? "created" : "creating";
}

/** A container of a sandbox: what it is, and what has become of it so far. */
export class Container {
  readonly metadata: ContainerMetadata;
  /** Held by the verbs that must not meet: start and remove. */
  readonly lock: Mutex = new Mutex();
  readonly cpuRate: CpuRate = new CpuRate();
  /** Resolves once the container has exited, or will never run. */
  readonly exited: Promise<void>;
  readonly #resolveExited: () => void;
  readonly #persist: (status: ContainerStatus) => void;
  readonly #observe: (state: ContainerState) => void;
  #status: ContainerStatus;

  constructor(
    metadata: ContainerMetadata,
    status: ContainerStatus,
    persist: (status: ContainerStatus) => void,
    /** Told of each new state, in order. */
    observe: (state: ContainerState) => void,
  ) {
    this.metadata = metadata;
    this.#status = status;
    this.#persist = persist;
    this.#observe = observe;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.exited = promise;
    this.#resolveExited = resolve;
    if (status.exit !== undefined) resolve();
  }

  get id(): string {
    return this.metadata.id;
  }

  get status(): ContainerStatus {
    return this.#status;
  }

  /** Its limits as they are now. */
  get resources(): ContainerResources {
    return this.#status.resources ?? this.metadata.config.resources;
  }

  get state(): ContainerState {
    return containerState(this.#status);
  }

  /** Whether it is made from an image, or has it as a volume. */
  uses(imageId: string): boolean {
    const { imageId: own, volumeImages } = this.metadata;
    return own === imageId || volumeImages.some(({ id }) => id === imageId);
  }

  /** Whether a process of it may live in the guest. */
  get mayRun(): boolean {
    return this.#status.exit === undefined && (this.#status.starting || this.state === "running");
  }

  /** Writes facts down, then believes them. Throws when they cannot be written. */
  update(change: Partial<ContainerStatus>): void {
    const before = this.state;
    const status = { ...this.#status, ...change };
    this.#persist(status);
    this.#status = status;
    if (this.state !== before) this.#observe(this.state);
  }

  /**
   * The end of its process; the first one told stays. It is true whether or not it can be written,
   * so it is believed first: the next lightvmd learns it from the VM again.
   */
  settle(exit: ContainerExit): void {
    if (this.#status.exit !== undefined) return;
    this.#status = { ...this.#status, exit };
    this.#resolveExited();
    this.#observe(this.state);
    this.#persist(this.#status);
  }

  /** Throws "failed-precondition" unless it is in that state. `verb` is for the message. */
  require(state: ContainerState, verb: string): void {
    if (this.#status.removing || this.state !== state) {
      const is = this.#status.removing ? "being removed" : this.state;
      throw new LightvmError(
        "failed-precondition",
        `container ${this.id} cannot ${verb}: it is ${is}, not ${state}`,
      );
    }
  }
}
