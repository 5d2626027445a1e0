// SPDX-License-Identifier: Apache-2.0
import { domainUuid } from "../domain-uuid.ts";
import type { DomainWatch } from "../domain-watch.ts";
import { type Flavor, flavorName } from "../flavor.ts";
import type { Shell } from "../shell.ts";
import { SHELL_LEVELS, type ShellLevel } from "../shell-record.ts";
import { endOfDomain } from "../vm-end.ts";

/** A shell that waits for a pod. */
export interface WaitingShell {
  readonly shell: Shell;
  readonly level: ShellLevel;
}

export interface WaitingShellsOptions {
  readonly watch: DomainWatch;
  /** Whether a booted shell of one flavor can be made a VM of the other. */
  readonly canBecome: (shell: Flavor, pod: Flavor) => boolean;
  /** Gets each shell that ends while it waits; it is out by then. */
  readonly onDied: (waiting: WaitingShell, why: string) => void;
}

/** The shells that wait, oldest first. Whoever takes one out owns it. */
export class WaitingShells {
  readonly #options: WaitingShellsOptions;
  readonly #watching = new Map<WaitingShell, Disposable>();

  constructor(options: WaitingShellsOptions) {
    this.#options = options;
  }

  add(waiting: WaitingShell): void {
    const { client, domid, events, id } = waiting.shell;
    const { watch, onDied } = this.#options;
    const died = (why: string) => {
      if (this.remove(waiting)) onDied(waiting, why);
    };
    void client.lost.then((error) => died(error.message));
    void events.ended.then((end) => died(end.message));
    const uuid = domainUuid(id);
    const watching = watch.watch(domid, uuid, (fate) => died(endOfDomain(fate).message));
    this.#watching.set(waiting, watching);
  }

  /**
   * Takes out the best shell for a pod: of its flavor, the one that is furthest, then the oldest; or
   * else the smallest booted one that can be made one of its flavor.
   */
  take(flavor: Flavor, levels: readonly ShellLevel[]): WaitingShell | undefined {
    const name = flavorName(flavor);
    const possible = this.all().filter(({ level }) => levels.includes(level));
    const [same] = possible
      .filter(({ shell }) => flavorName(shell.plan.flavor) === name)
      .sort((a, b) => rank(b) - rank(a));
    const best = same ?? this.#larger(flavor, possible);
    if (best !== undefined) this.remove(best);
    return best;
  }

  #larger(flavor: Flavor, possible: readonly WaitingShell[]): WaitingShell | undefined {
    const sizeOf = ({ shell }: WaitingShell) => shell.plan.flavor;
    const [smallest] = possible
      .filter(({ level }) => level === "booted")
      .filter(({ shell }) => this.#options.canBecome(shell.plan.flavor, flavor))
      .sort((a, b) => bySize(sizeOf(a), sizeOf(b)));
    return smallest;
  }

  /** Takes one out; false when it is not in. */
  remove(waiting: WaitingShell): boolean {
    this.#watching.get(waiting)?.[Symbol.dispose]();
    return this.#watching.delete(waiting);
  }

  all(): WaitingShell[] {
    return [...this.#watching.keys()];
  }
}

function bySize(a: Flavor, b: Flavor): number {
  return a.memoryBytes - b.memoryBytes || a.vcpus - b.vcpus;
}

function rank({ level }: WaitingShell): number {
  return SHELL_LEVELS.indexOf(level);
}
