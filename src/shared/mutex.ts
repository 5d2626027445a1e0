// SPDX-License-Identifier: Apache-2.0
import { waitFor } from "./wait.ts";

/** One holder at a time, in the order of asking. */
export class Mutex {
  #last: Promise<void> = Promise.resolve();

  /** `using lock = await mutex.acquire(...)`. Throws "cancelled" when the caller gives up first. */
  async acquire(what: string, signal?: AbortSignal): Promise<Disposable> {
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const before = this.#last;
    this.#last = before.then(() => released);
    try {
      await waitFor(before, `waiting for ${what}`, { signal });
    } catch (error) {
      release();
      throw error;
    }
    return { [Symbol.dispose]: release };
  }
}
