// SPDX-License-Identifier: Apache-2.0
import { describeError, LightvmError } from "../../shared/errors.ts";
import type { Logger } from "../../shared/logger.ts";
import { xenMemoryOf } from "../admission.ts";
import type { Shells } from "../shells.ts";
import { Backoff } from "./backoff.ts";
import { makeShell } from "./make-shell.ts";
import { HELD_BACK, type HeldBack, type PoolCounters } from "./metrics.ts";
import { kindOf, neediest, type Target, whyImpossible } from "./plan.ts";
import type { WaitingShell } from "./waiting-shells.ts";

/** A shell that is being made. */
interface Making {
  readonly target: Target;
  readonly controller: AbortController;
  /** Resolves when it is made, or nothing of it is left; never rejects. */
  readonly done: Promise<void>;
}

export interface RefillOptions {
  readonly shells: Shells;
  /** Memory of the host in bytes. */
  readonly hostBytes: () => number;
  readonly counters: PoolCounters;
  readonly logger: Logger;
  readonly onMade: (waiting: WaitingShell) => void;
  /** Called after each attempt, whatever has become of it, and when it may be tried again. */
  readonly onChanged: () => void;
}

/** What the pool holds and may hold when it is refilled. */
export interface RefillRequest {
  readonly targets: readonly Target[];
  readonly waiting: readonly WaitingShell[];
  readonly budgetBytes: number;
  readonly atOnce: number;
}

/** Makes shells, some at once, within what memory allows. */
export class Refill {
  readonly #options: RefillOptions;
  readonly #making = new Set<Making>();
  readonly #backoff = new Backoff();
  readonly #refused = new Set<string>();
  #heldBack: HeldBack | "" = "";

  constructor(options: RefillOptions) {
    this.#options = options;
  }

  /** The targets of shells that are being made. */
  get making(): Target[] {
    return [...this.#making].map(({ target }) => target);
  }

  /** Why there is no more made at the moment; "" when nothing keeps it. */
  get heldBack(): HeldBack | "" {
    return this.#heldBack;
  }

  /** Begins to make what is missing and may be made now. */
  fill(request: RefillRequest): void {
    const possible = request.targets.filter((target) => this.#mayEver(target, request.budgetBytes));
    let targets = possible.filter((target) => !this.#backoff.mustWait(kindOf(target)));
    let obstacle: HeldBack | "" = possible.length > targets.length ? HELD_BACK.failures : "";
    while (this.#making.size < request.atOnce) {
      const target = neediest(targets, (each) => this.#holding(each, request.waiting));
      if (target === undefined) break;
      const shortage = this.#shortage(target, request);
      if (shortage === undefined) this.#begin(target);
      else {
        obstacle = shortage;
        // A smaller one may fit.
        targets = targets.filter((each) => each !== target);
      }
    }
    this.#noteObstacle(obstacle);
  }

  /** Gives up what is being made; false when that is nothing. */
  async abandon(why: string): Promise<boolean> {
    const making = [...this.#making];
    for (const { controller } of making) controller.abort(new LightvmError("cancelled", why));
    await Promise.all(making.map(({ done }) => done));
    return making.length > 0;
  }

  /** Forgets failures: the configuration has changed. */
  reset(): void {
    this.#backoff.clear();
    this.#refused.clear();
  }

  #begin(target: Target): void {
    const controller = new AbortController();
    const { promise: done, resolve } = Promise.withResolvers<void>();
    const making: Making = { target, controller, done };
    this.#making.add(making);
    void this.#make(target, controller.signal).finally(() => {
      this.#making.delete(making);
      resolve();
      this.#options.onChanged();
    });
  }

  async #make(target: Target, signal: AbortSignal): Promise<void> {
    const { shells, counters, logger, onMade } = this.#options;
    const kind = kindOf(target);
    const began = performance.now();
    try {
      const shell = await makeShell(shells, target, signal);
      const seconds = (performance.now() - began) / 1000;
      const counts = counters.of(kind);
      counts.refills += 1;
      counts.refillSeconds += seconds;
      this.#backoff.succeeded(kind);
      logger.debug({ shell: shell.id, domid: shell.domid, kind, seconds }, "a shell waits");
      onMade({ shell, level: target.level });
    } catch (error) {
      if (signal.aborted) {
        logger.debug({ kind, why: describeError(signal.reason) }, "a shell was given up");
        return;
      }
      counters.of(kind).failures += 1;
      const pauseMs = this.#backoff.failed(kind);
      logger.warn({ error, kind, pauseMs }, "a shell for the pool could not be made");
      // Behind the end of the pause: a timer may come a millisecond early.
      setTimeout(this.#options.onChanged, pauseMs + 1).unref();
    }
  }

  #mayEver(target: Target, budgetBytes: number): boolean {
    const why = whyImpossible(target.flavor, budgetBytes, this.#options.hostBytes());
    const kind = kindOf(target);
    if (why !== undefined && !this.#refused.has(kind)) {
      this.#refused.add(kind);
      this.#options.counters.of(kind).failures += 1;
      this.#options.logger.warn({ kind, why }, "the pool can never hold such a shell");
    }
    return why === undefined;
  }

  #holding(target: Target, waiting: readonly WaitingShell[]) {
    const kind = kindOf(target);
    const made = ({ shell, level }: WaitingShell) => kindOf({ ...shell.plan, level }) === kind;
    return {
      waiting: waiting.filter(made).length,
      making: this.making.filter((each) => kindOf(each) === kind).length,
    };
  }

  /** Why there is no memory for one more; undefined when there is. */
  #shortage({ flavor }: Target, { waiting, budgetBytes }: RefillRequest): HeldBack | undefined {
    const held = heldBytes(waiting, this.making);
    if (held + xenMemoryOf(flavor) > budgetBytes) return HELD_BACK.budget;
    if (this.#options.shells.admission.missing(flavor) > 0) return HELD_BACK.memory;
    return undefined;
  }

  #noteObstacle(obstacle: HeldBack | ""): void {
    if (obstacle === this.#heldBack) return;
    this.#heldBack = obstacle;
    if (obstacle !== "")
      this.#options.logger.info({ obstacle }, "the pool is not refilled further");
  }
}

/** Xen memory of these shells, in bytes. */
export function heldBytes(waiting: readonly WaitingShell[], making: readonly Target[]): number {
  const flavors = [
    ...waiting.map(({ shell }) => shell.plan.flavor),
    ...making.map((m) => m.flavor),
  ];
  return flavors.reduce((sum, flavor) => sum + xenMemoryOf(flavor), 0);
}
