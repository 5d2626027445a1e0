// SPDX-License-Identifier: Apache-2.0

/** One line of the closing table. */
interface Timed {
  readonly what: string;
  readonly milliseconds: number;
}

/** Says what is being done, how far it is, and in the end what took how long. */
export class Steps {
  readonly #timed: Timed[] = [];
  readonly #total: number;

  constructor(total: number) {
    this.#total = total;
  }

  /** Runs one step; its output, if any, is shown below its name. */
  async step<T>(what: string, work: () => Promise<T>): Promise<T> {
    console.log(`\n[${this.#timed.length + 1}/${this.#total}] ${what}`);
    const started = performance.now();
    const result = await work();
    this.#timed.push({ what, milliseconds: performance.now() - started });
    if (typeof result === "string" && result !== "") {
      console.log(result.replaceAll(/^/gm, "      "));
    }
    return result;
  }

  /** Prints the table. Wall-clock time of this machine, crictl's own start and ssh included. */
  print(): void {
    console.log("\nWhat took how long (wall clock, crictl and ssh included):");
    const line = (milliseconds: number, what: string) =>
      console.log(`  ${(milliseconds / 1000).toFixed(2).padStart(7)} s  ${what}`);
    for (const { what, milliseconds } of this.#timed) line(milliseconds, what);
    line(
      this.#timed.reduce((sum, { milliseconds }) => sum + milliseconds, 0),
      "all together",
    );
  }
}
