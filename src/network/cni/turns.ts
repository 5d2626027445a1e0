// SPDX-License-Identifier: Apache-2.0

/** Lets those who work on the same thing do so one after the other. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Does `work` once everyone is done who has asked for `key` before. */
  async take<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    // Whether they succeeded is their callers' business.
    const mine = before.then(work, work);
    this.#last.set(key, mine);
    try {
      return await mine;
    } finally {
      if (this.#last.get(key) === mine) this.#last.delete(key);
    }
  }
}
