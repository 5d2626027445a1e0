// SPDX-License-Identifier: Apache-2.0
import { type Flavor, flavorName } from "../flavor.ts";

/** Requests that are remembered: enough to see a mix, few enough to follow a change of it. */
const REMEMBERED = 64;
/** What was asked for longer ago says nothing about the next pod. */
const MAX_AGE_MS = 3_600_000;

/** A flavor, and how many shells of it. */
export interface Share {
  readonly flavor: Flavor;
  readonly size: number;
}

/** What pods have asked for lately, to guess what they will ask for next. */
export class Demand {
  readonly #now: () => number;
  #requests: { readonly flavor: Flavor; readonly at: number }[] = [];

  /** `now` gives milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  note(flavor: Flavor): void {
    this.#requests.push({ flavor, at: this.#now() });
    if (this.#requests.length > REMEMBERED) this.#requests.shift();
  }

  /** Names of the flavors that were asked for lately, the latest first. */
  recent(): string[] {
    const newestFirst = this.#lately().reverse();
    return [...new Set(newestFirst.map(({ flavor }) => flavorName(flavor)))];
  }

  /**
   * Shares `size` shells out among the flavors that were asked for lately, in proportion (largest
   * remainders). All go to `usual` as long as nobody has asked. Flavors in `apart` get none.
   */
  share(size: number, usual: Flavor, apart: ReadonlySet<string>): Share[] {
    const counts = new Map<string, { flavor: Flavor; count: number }>();
    const lately = this.#lately();
    for (const { flavor } of lately.length === 0 ? [{ flavor: usual }] : lately) {
      const name = flavorName(flavor);
      if (apart.has(name)) continue;
      const { count = 0 } = counts.get(name) ?? {};
      counts.set(name, { flavor, count: count + 1 });
    }
    return apportion(size, [...counts.values()]);
  }

  #lately() {
    const oldest = this.#now() - MAX_AGE_MS;
    this.#requests = this.#requests.filter(({ at }) => at >= oldest);
    return [...this.#requests];
  }
}

function apportion(size: number, parts: readonly { flavor: Flavor; count: number }[]): Share[] {
  const total = parts.reduce((sum, { count }) => sum + count, 0);
  const exact = parts.map(({ flavor, count }) => ({ flavor, quota: (size * count) / total }));
  const left = size - exact.reduce((sum, { quota }) => sum + Math.floor(quota), 0);
  return exact
    .sort((a, b) => fraction(b.quota) - fraction(a.quota))
    .map(({ flavor, quota }, index) => ({
      flavor,
      size: Math.floor(quota) + (index < left ? 1 : 0),
    }))
    .filter((share) => share.size > 0);
}

function fraction(quota: number): number {
  return quota - Math.floor(quota);
}
