// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import { throwIfCancelled, waitFor } from "../shared/wait.ts";

interface Running<T> {
  readonly promise: Promise<T>;
  readonly controller: AbortController;
  callers: number;
}

/**
 * Work that several callers want at once is done once. Each caller can give up for itself; when
 * the last one has, the work is aborted.
 */
export class SharedWork<T> {
  readonly #running = new Map<string, Running<T>>();

  /**
   * The result of the work on `key`, begun now unless it is under way. `what` (a noun phrase) names
   * it in errors.
   */
  async run(
    key: string,
    what: string,
    signal: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    throwIfCancelled(signal, what);
    const running = this.#running.get(key) ?? this.#begin(key, work);
    running.callers += 1;
    try {
      return await waitFor(running.promise, what, { signal });
    } finally {
      running.callers -= 1;
      if (running.callers === 0) this.#abandon(key, running, what);
    }
  }

  #begin(key: string, work: (signal: AbortSignal) => Promise<T>): Running<T> {
    const controller = new AbortController();
    const running = { promise: work(controller.signal), controller, callers: 0 };
    this.#running.set(key, running);
    const forget = () => this.#forget(key, running);
    running.promise.then(forget, forget);
    return running;
  }

  /** Whoever comes now begins anew, and does not get the failure of what is being aborted. */
  #abandon(key: string, running: Running<T>, what: string): void {
    this.#forget(key, running);
    running.controller.abort(new LightvmError("cancelled", `${what} is not wanted any more`));
  }

  #forget(key: string, running: Running<T>): void {
    if (this.#running.get(key) === running) this.#running.delete(key);
  }
}
