// SPDX-License-Identifier: Apache-2.0

/**
 * Gives each VMM process a uid (and gid) of its own, so that one that is taken over by its guest
 * cannot even signal another.
 */
export class UidPool {
  readonly #first: number;
  readonly #taken = new Set<number>();

  constructor(first: number) {
    this.#first = first;
  }

  /** The lowest free one. */
  take(): number {
    let uid = this.#first;
    while (this.#taken.has(uid)) uid += 1;
    this.#taken.add(uid);
    return uid;
  }

  /** Marks the uid of a process that lives already. */
  claim(uid: number): void {
    this.#taken.add(uid);
  }

  release(uid: number): void {
    this.#taken.delete(uid);
  }
}
