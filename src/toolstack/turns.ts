// SPDX-License-Identifier: Apache-2.0
import { waitFor } from "../shared/wait.ts";

/**
 * A line of callers who all want the same scarce thing: so many are served at once, the others wait
 * and come to their turn in the order in which they came.
 */
export class Turns {
  readonly #atOnce: number;
  readonly #waiting: (() => void)[] = [];
  #served = 0;

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** How many wait. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** Waits for a turn; dispose of it to let the next one in. Throws "cancelled". */
  async enter(signal: AbortSignal): Promise<Disposable> {
    if (this.#served < this.#atOnce) {
      this.#served += 1;
    } else {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.push(resolve);
      try {
        await waitFor(promise, "the wait for other VMs' starts", { signal });
      } catch (error) {
        const at = this.#waiting.indexOf(resolve);
        // Out of the line already: the turn came together with the cancellation, and passes on.
        if (at === -1) this.#next();
        else this.#waiting.splice(at, 1);
        throw error;
      }
    }
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (held) this.#next();
        held = false;
      },
    };
  }

  /** A turn is over: the first in the line takes its place. */
  #next(): void {
    const first = this.#waiting.shift();
    if (first === undefined) this.#served -= 1;
    else first();
  }
}
