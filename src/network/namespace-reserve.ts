// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import type { Logger } from "../shared/logger.ts";
import type { Namespaces } from "./namespaces.ts";

export interface NamespaceReserveOptions {
  readonly namespaces: Pick<Namespaces, "open" | "keep">;
  /** How many shall wait; 0 = each is made when a pod wants it. */
  readonly size: number;
  /** How long no pod has wanted one before more are made; milliseconds. */
  readonly quietMs: number;
  readonly logger: Logger;
}

/**
 * Network namespaces that wait for pods: making one takes the kernel longer than booting a shell of
 * the pool takes us. They are descriptors of this process and nothing else, so that none outlives it,
 * and none is ever given back: what a pod has had ends with it.
 */
export class NamespaceReserve implements AsyncDisposable {
  readonly #options: NamespaceReserveOptions;
  readonly #waiting: number[] = [];
  #timer: NodeJS.Timeout | undefined;
  #refill: Promise<void> = Promise.resolve();
  /** Pods that have been served: a refill gives way to them. */
  #served = 0;
  #closed = false;

  constructor(options: NamespaceReserveOptions) {
    this.#options = options;
    this.#refillWhenQuiet();
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Keeps a namespace at `path` that nobody has had before. */
  async keepOneAt(path: string): Promise<void> {
    const { namespaces } = this.#options;
    this.#served += 1;
    this.#refillWhenQuiet();
    const fd = this.#waiting.shift() ?? (await namespaces.open());
    try {
      await namespaces.keep(fd, path);
    } finally {
      closeSync(fd);
    }
  }

  /** Ends the refill and lets go of what waits. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#refill;
    for (const fd of this.#waiting.splice(0)) closeSync(fd);
  }

  #refillWhenQuiet(): void {
    clearTimeout(this.#timer);
    if (this.#closed || this.#options.size === 0) return;
    const quiet = () => {
      // One that a pod has cut short may still be making its last.
      this.#refill = this.#refill.then(() => this.#fill());
    };
    this.#timer = setTimeout(quiet, this.#options.quietMs).unref();
  }

  /** One after the other, until enough wait or a pod comes. Never rejects. */
  async #fill(): Promise<void> {
    const { logger, namespaces, size } = this.#options;
    const served = this.#served;
    try {
      while (!this.#closed && this.#served === served && this.#waiting.length < size) {
        this.#waiting.push(await namespaces.open());
      }
    } catch (error) {
      // Whoever needs one meets the same obstacle and says so to its pod.
      logger.warn({ error }, "no network namespace can be made in advance");
    }
  }
}
