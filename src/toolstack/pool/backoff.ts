// SPDX-License-Identifier: Apache-2.0

const FIRST_MS = 1000;
const LONGEST_MS = 300_000;

/** Keeps what has just failed from being tried again at once, for longer with each failure. */
export class Backoff {
  readonly #now: () => number;
  readonly #failed = new Map<string, { times: number; until: number }>();

  /** `now` gives milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Returns how many milliseconds `what` has to wait now. */
  failed(what: string): number {
    const times = (this.#failed.get(what)?.times ?? 0) + 1;
    const pause = Math.min(FIRST_MS * 2 ** (times - 1), LONGEST_MS);
    this.#failed.set(what, { times, until: this.#now() + pause });
    return pause;
  }

  succeeded(what: string): void {
    this.#failed.delete(what);
  }

  mustWait(what: string): boolean {
    return (this.#failed.get(what)?.until ?? 0) > this.#now();
  }

  clear(): void {
    this.#failed.clear();
  }
}
