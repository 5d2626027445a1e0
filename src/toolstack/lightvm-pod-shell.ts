// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import { awaitStart } from "./boot.ts";
import { LightvmPodVm, type PodVmContext } from "./lightvm-pod-vm.ts";
import type { BreakdownStep, PodVm, PodVmSpec } from "./pod-vm.ts";
import type { Shell } from "./shell.ts";
import { Stopwatch } from "./stopwatch.ts";
import { executeUnikernel, type PodShell, startSign, type Unikernel } from "./unikernel.ts";

export interface LightvmPodShellOptions {
  readonly context: PodVmContext;
  readonly spec: PodVmSpec;
  readonly shell: Shell;
  /** What making the shell took. */
  readonly breakdown: readonly BreakdownStep[];
  readonly bootTimeoutMs: number;
}

/** See PodShell. It owns the shell and the pod's link to it. */
export class LightvmPodShell implements PodShell {
  readonly #options: LightvmPodShellOptions;
  readonly #undo: AsyncDisposableStack;
  #spent = false;

  /** `undo` removes shell and link. */
  constructor(options: LightvmPodShellOptions, undo: AsyncDisposableStack) {
    this.#options = options;
    this.#undo = undo;
  }

  get domid(): number {
    return this.#options.shell.domid;
  }

  get memoryBytes(): number {
    return this.#options.spec.memoryBytes;
  }

  get breakdown(): readonly BreakdownStep[] {
    return this.#options.breakdown;
  }

  async boot(unikernel: Unikernel, signal: AbortSignal): Promise<PodVm> {
    const { context, spec, shell, bootTimeoutMs } = this.#options;
    if (this.#spent) {
      throw new LightvmError("failed-precondition", `the shell of pod ${spec.id} is spent`);
    }
    this.#spent = true;
    await using undo = this.#undo.move();
    const stopwatch = new Stopwatch();
    await executeUnikernel(shell, context, unikernel, stopwatch, signal);
    shell.unpause(stopwatch);
    await awaitStart(shell, context.watch, startSign(shell, unikernel), bootTimeoutMs, signal);
    stopwatch.step("sign of life");
    shell.shareCpu(spec);
    const record = shell.release(spec);
    undo.move();
    const { directory } = shell.plan;
    const breakdown = [...this.breakdown, ...stopwatch.steps];
    return LightvmPodVm.running(context, spec, directory, record, shell, breakdown);
  }

  async destroy(): Promise<void> {
    await this.#undo.disposeAsync();
  }
}
