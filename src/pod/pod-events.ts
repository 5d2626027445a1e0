// SPDX-License-Identifier: Apache-2.0
import type { Sandbox } from "./sandbox.ts";

/** What has happened to a container, or to a sandbox, which Kubernetes counts as one too. */
export type PodEventKind = "created" | "started" | "stopped" | "deleted";

/** Something that a caller could otherwise learn only by listing again and again. */
export interface PodEvent {
  readonly kind: PodEventKind;
  /** Of the container; of the sandbox itself when it is about that. */
  readonly id: string;
  /** Nanoseconds since the epoch. */
  readonly at: bigint;
  readonly sandbox: Sandbox;
}

type Listener = (event: PodEvent) => void;

/** Tells whoever listens what happens to pods, from the moment of subscription. */
export class PodEvents {
  readonly #listeners = new Set<Listener>();

  /** Listeners must not throw. Returns the unsubscribe. */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  tell(event: PodEvent): void {
    for (const listener of [...this.#listeners]) listener(event);
  }
}
