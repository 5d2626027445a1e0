// SPDX-License-Identifier: Apache-2.0

/** Two looks that are closer than this, in nanoseconds, tell nothing about a rate. */
const MIN_INTERVAL = 1_000_000_000n;
const SECOND = 1_000_000_000n;

/** How fast a counter of CPU time grows, from one look at it to the next. */
export class CpuRate {
  #last: { readonly at: bigint; readonly cpu: bigint } | undefined;
  #rate: bigint | undefined;

  /**
   * Takes notice of a counter (nanoseconds of CPU time) at a time (nanoseconds). Returns nanoseconds
   * of a core each second since the look before; undefined until there are two looks.
   */
  observe(at: bigint, cpu: bigint): bigint | undefined {
    const last = this.#last;
    if (last !== undefined && at - last.at < MIN_INTERVAL) return this.#rate;
    this.#last = { at, cpu };
    // A counter that went back was started anew.
    if (last === undefined || cpu < last.cpu) return undefined;
    this.#rate = ((cpu - last.cpu) * SECOND) / (at - last.at);
    return this.#rate;
  }
}
