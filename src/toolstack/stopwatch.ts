// SPDX-License-Identifier: Apache-2.0
import type { Breakdown } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import type { BreakdownStep } from "./pod-vm.ts";

/** Collects where the time of one create goes, step after step. */
export class Stopwatch {
  readonly steps: BreakdownStep[] = [];
  #last = process.hrtime.bigint();

  /** Books the time since the last booking under `name`. */
  step(name: string): void {
    this.#book(name, this.#lap());
  }

  /** Like `step`, but what another has used meanwhile is booked under its own name. */
  stepApart(name: string, other: { name: string; nanoseconds: bigint }): void {
    const lap = this.#lap();
    const rest = lap - other.nanoseconds;
    this.#book(name, rest > 0n ? rest : 0n);
    this.#book(other.name, rest > 0n ? other.nanoseconds : lap);
  }

  #lap(): bigint {
    const last = this.#last;
    this.#last = process.hrtime.bigint();
    return this.#last - last;
  }

  #book(name: string, nanoseconds: bigint): void {
    this.steps.push({ phase: "toolstack", name, nanoseconds, hypercalls: 0, bytesCopied: 0n });
  }

  /** Adds what the VMM measured inside the step that was booked last. */
  add(phase: "prepare" | "execute", breakdown: Breakdown | undefined): void {
    for (const step of breakdown?.steps ?? []) this.steps.push({ phase, ...step });
  }
}
