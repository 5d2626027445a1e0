// SPDX-License-Identifier: Apache-2.0
import type { Config } from "../../shared/config.ts";
import { describeError } from "../../shared/errors.ts";
import type { Logger } from "../../shared/logger.ts";
import { xenMemoryOf } from "../admission.ts";
import type { DomainWatch } from "../domain-watch.ts";
import { type Flavor, flavorName } from "../flavor.ts";
import { shellIds } from "../shell-directory.ts";
import { SHELL_LEVELS, type ShellLevel } from "../shell-record.ts";
import type { Shells } from "../shells.ts";
import { adoptShell } from "./adopt-shell.ts";
import { Demand } from "./demand.ts";
import { type DiscardReason, PoolCounters, type PoolMetrics } from "./metrics.ts";
import { kindOf, planPool, type Target } from "./plan.ts";
import { heldBytes, Refill } from "./refill.ts";
import { type WaitingShell, WaitingShells } from "./waiting-shells.ts";

const MIB = 1024 * 1024;
/** How often the pool looks after itself when nothing calls it: swapped files, freed memory. */
const UPKEEP_MS = 10_000;

export interface ShellPoolOptions {
  readonly config: Config["pool"];
  readonly shells: Shells;
  readonly watch: DomainWatch;
  readonly logger: Logger;
  /** What a pod gets that asks for nothing. */
  readonly usual: Flavor;
  /** Memory of the host in bytes. */
  readonly hostBytes: () => number;
}

/**
 * Shells that wait for pods. One of them:
 *
 *            refill              take
 *   making ──────────► waiting ────────► a pod's VM
 *      │ fails: back off   │ dies, gets stale, is one too many, or a pod needs its memory
 *      └──► (nothing) ◄────┘
 *
 * A shell is never given back: what a pod has touched is destroyed with it. The pool is refilled
 * when no pod has been started for a while, and what it holds is there for pods to push out.
 */
export class ShellPool {
  readonly #options: ShellPoolOptions;
  readonly #waiting: WaitingShells;
  readonly #refill: Refill;
  readonly #demand = new Demand();
  readonly #counters = new PoolCounters();
  #config: Config["pool"];
  #state: "new" | "running" | "closed" = "new";
  /** Pods that are being started now. */
  #starting = 0;
  #quietTimer: NodeJS.Timeout | undefined;
  #upkeepTimer: NodeJS.Timeout | undefined;
  readonly #discarding = new Set<Promise<void>>();

  constructor(options: ShellPoolOptions) {
    const { config, shells, watch, logger, hostBytes } = options;
    this.#options = options;
    this.#config = config;
    this.#waiting = new WaitingShells({
      watch,
      canBecome: (shell, pod) => shells.canBecome(shell, pod),
      onDied: (waiting, why) => {
        void this.#discard(waiting, "died", why);
        this.#tend();
      },
    });
    this.#refill = new Refill({
      shells,
      hostBytes,
      counters: this.#counters,
      logger,
      onMade: (waiting) => this.#waiting.add(waiting),
      onChanged: () => this.#tend(),
    });
  }

  /**
   * Takes the best shell for a flavor that is at one of these levels: one of it, or a booted one that
   * can be made one. undefined when none waits. The caller owns it.
   */
  take(flavor: Flavor, levels: readonly ShellLevel[] = SHELL_LEVELS): WaitingShell | undefined {
    if (!this.#isOn()) return undefined;
    // What the pool would learn to make must be of use to whoever asks for it.
    if (levels.includes(this.#config.level)) this.#demand.note(flavor);
    const name = flavorName(flavor);
    const next = () => this.#waiting.take(flavor, levels);
    for (let waiting = next(); waiting !== undefined; waiting = next()) {
      const { flavor: its, recipe } = waiting.shell.plan;
      if (recipe.stamp === this.#stampOf(its)) {
        this.#counters.of(kindOf({ ...waiting.shell.plan, level: waiting.level })).hits += 1;
        return waiting;
      }
      void this.#discard(waiting, "stale", "its files have been replaced");
    }
    this.#counters.missed(name);
    return undefined;
  }

  /** A pod took a shell that did not come up, and is destroyed by whoever took it. */
  tookInVain({ shell, level }: WaitingShell, error: unknown): void {
    this.#counters.discarded.failed += 1;
    const kind = kindOf({ ...shell.plan, level });
    this.#options.logger.warn(
      { error, shell: shell.id, kind },
      "a shell of the pool did not come up",
    );
  }

  /** Keeps the pool from being refilled while a pod is being started. */
  giveWay(): Disposable {
    this.#starting += 1;
    clearTimeout(this.#quietTimer);
    this.#quietTimer = undefined;
    return {
      [Symbol.dispose]: () => {
        this.#starting -= 1;
        this.#tendWhenQuiet();
      },
    };
  }

  /**
   * Frees memory for a pod that finds none: what is being made is given up, or else the shell is
   * destroyed whose flavor was asked for longest ago. false when there is nothing to free.
   */
  async makeRoom(): Promise<boolean> {
    if (await this.#refill.abandon("a pod needs the memory")) return true;
    const recent = this.#demand.recent();
    const age = ({ shell }: WaitingShell) => {
      const at = recent.indexOf(flavorName(shell.plan.flavor));
      return at === -1 ? recent.length : at;
    };
    const [victim] = this.#waiting.all().sort((a, b) => age(b) - age(a));
    if (victim === undefined) return false;
    this.#waiting.remove(victim);
    await this.#discard(victim, "memory", "a pod needs the memory");
    return true;
  }

  /** Finds the shells again that the lightvmd before this one has left. */
  async adopt(signal: AbortSignal): Promise<void> {
    const { shells, logger } = this.#options;
    if (!this.#isOn()) return;
    const domains = shells.tools.hypervisor.listDomains();
    for (const id of await shellIds(shells.parents)) {
      if (shells.living.has(id)) continue;
      try {
        const waiting = await adoptShell(shells, shells.directoryOf(id), domains, signal);
        if (waiting === undefined) continue;
        // What it was made for is all that is left of the demand of then.
        this.#demand.note(waiting.shell.plan.flavor);
        this.#waiting.add(waiting);
        logger.info({ shell: id, level: waiting.level }, "found a shell again");
      } catch (error) {
        signal.throwIfAborted();
        logger.warn({ error, shell: id }, "a shell cannot be found again and is destroyed");
      }
    }
  }

  /** Begins to fill the pool. */
  start(): void {
    this.#state = "running";
    this.#upkeepTimer = setInterval(() => this.#tend(), UPKEEP_MS).unref();
    this.#tend();
  }

  /** Goes over to another configuration: what is not wanted any more is destroyed. */
  reconfigure(config: Config["pool"]): void {
    this.#config = config;
    this.#refill.reset();
    this.#tend();
  }

  /** Memory has become free. */
  poke(): void {
    this.#tendWhenQuiet();
  }

  /** Ends the refill. Shells that wait go on waiting, for the next lightvmd. */
  async close(): Promise<void> {
    this.#state = "closed";
    clearTimeout(this.#quietTimer);
    clearInterval(this.#upkeepTimer);
    await this.#refill.abandon("lightvmd ends");
    await Promise.all(this.#discarding);
  }

  metrics(): PoolMetrics {
    const waiting = this.#waiting.all();
    const { making, heldBack } = this.#refill;
    const kinds = new Map<string, { target: Omit<Target, "size">; wanted: number }>();
    for (const target of this.#targets()) {
      kinds.set(kindOf(target), { target, wanted: target.size });
    }
    // Also what is not wanted any more and still there.
    const held = waiting.map(({ shell, level }) => ({ flavor: shell.plan.flavor, level }));
    for (const target of [...held, ...making]) {
      if (!kinds.has(kindOf(target))) kinds.set(kindOf(target), { target, wanted: 0 });
    }
    return {
      budgetBytes: this.#config.memory_mib * MIB,
      heldBytes: heldBytes(waiting, making),
      kinds: [...kinds].map(([kind, { target, wanted }]) => ({
        flavor: flavorName(target.flavor),
        level: target.level,
        wanted,
        waiting: waiting.filter(({ shell, level }) => kindOf({ ...shell.plan, level }) === kind)
          .length,
        making: making.filter((each) => kindOf(each) === kind).length,
        ...this.#counters.of(kind),
      })),
      misses: this.#counters.misses,
      discarded: this.#counters.discarded,
      leaving: this.#discarding.size,
      heldBack,
    };
  }

  #targets(): readonly Target[] {
    return planPool(this.#config, this.#demand, this.#options.usual);
  }

  #isOn(): boolean {
    return this.#config.size > 0 || this.#config.flavors.some(({ size }) => size > 0);
  }

  #tendWhenQuiet(): void {
    if (this.#starting > 0 || this.#quietTimer !== undefined) return;
    const quiet = () => {
      this.#quietTimer = undefined;
      this.#tend();
    };
    this.#quietTimer = setTimeout(quiet, this.#config.refill_after_seconds * 1000).unref();
  }

  /** Brings what there is nearer to what there shall be. */
  #tend(): void {
    if (this.#state !== "running") return;
    const targets = this.#targets();
    this.#discardUnwanted(targets);
    if (this.#starting > 0 || this.#quietTimer !== undefined) return;
    const waiting = this.#waiting.all();
    const budgetBytes = this.#config.memory_mib * MIB;
    try {
      this.#refill.fill({ targets, waiting, budgetBytes, atOnce: this.#config.refills_at_once });
    } catch (error) {
      // Xen does not answer; the next upkeep tries again.
      this.#options.logger.warn({ error }, "the pool cannot be refilled");
    }
  }

  #discardUnwanted(targets: readonly Target[]): void {
    const room = new Map(targets.map((target) => [kindOf(target), target.size]));
    let budget = this.#config.memory_mib * MIB;
    for (const waiting of this.#waiting.all()) {
      const { shell, level } = waiting;
      const stamp = this.#stampOf(shell.plan.flavor);
      const kind = kindOf({ ...shell.plan, level });
      const left = room.get(kind) ?? 0;
      budget -= xenMemoryOf(shell.plan.flavor);
      if (stamp !== undefined && stamp !== shell.plan.recipe.stamp) {
        this.#waiting.remove(waiting);
        void this.#discard(waiting, "stale", "its files have been replaced");
      } else if (left === 0 || budget < 0) {
        this.#waiting.remove(waiting);
        void this.#discard(waiting, "surplus", "it is not wanted any more");
      } else room.set(kind, left - 1);
    }
  }

  /** undefined when a shell cannot be made now: a file is missing. */
  #stampOf(flavor: Flavor): string | undefined {
    try {
      return this.#options.shells.recipeOf(flavor).stamp;
    } catch (error) {
      this.#options.logger.debug({ why: describeError(error) }, "no shell can be made or used now");
      return undefined;
    }
  }

  /** Destroys a shell that is out of the pool. Never rejects: what resists is an orphan. */
  #discard({ shell, level }: WaitingShell, reason: DiscardReason, why: string): Promise<void> {
    this.#counters.discarded[reason] += 1;
    const kind = kindOf({ ...shell.plan, level });
    this.#options.logger.info({ shell: shell.id, kind, reason, why }, "a shell is destroyed");
    const discarding = shell[Symbol.asyncDispose]().finally(() => {
      this.#discarding.delete(discarding);
      this.poke();
    });
    this.#discarding.add(discarding);
    return discarding;
  }
}
