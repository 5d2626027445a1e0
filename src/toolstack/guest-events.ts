// SPDX-License-Identifier: Apache-2.0
import type { Hello, ProcessExited } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { GuestEnd, GuestEvent } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import type { VmmListener } from "../vmm/vmm-client.ts";

/** What one guest says through its VMM, for as many listeners as want to hear it. */
export class GuestEvents implements VmmListener {
  /** The agent's hello: the pod has booted. */
  readonly ready: Promise<Hello>;
  /** A unikernel's first sign of life. */
  readonly alive: Promise<void>;
  /** The VMM says that the guest is gone for good. */
  readonly ended: Promise<GuestEnd>;
  readonly #resolveReady: (hello: Hello) => void;
  readonly #resolveAlive: () => void;
  readonly #resolveEnded: (end: GuestEnd) => void;
  readonly #exitListeners = new Set<(exit: ProcessExited) => void>();

  constructor() {
    const ready = Promise.withResolvers<Hello>();
    const alive = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<GuestEnd>();
    this.ready = ready.promise;
    this.alive = alive.promise;
    this.ended = ended.promise;
    this.#resolveReady = ready.resolve;
    this.#resolveAlive = alive.resolve;
    this.#resolveEnded = ended.resolve;
  }

  onProcessExited(listener: (exit: ProcessExited) => void): () => void {
    this.#exitListeners.add(listener);
    return () => void this.#exitListeners.delete(listener);
  }

  guestEvent(event: NonNullable<GuestEvent["event"]>): void {
    if (event.$case === "agentReady") this.#resolveReady(event.value);
    else if (event.$case === "alive") this.#resolveAlive();
    else if (event.$case === "ended") this.#resolveEnded(event.value);
  }

  processExited(exit: ProcessExited): void {
    for (const listener of [...this.#exitListeners]) listener(exit);
  }
}
