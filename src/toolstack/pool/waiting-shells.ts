// SPDX-License-Identifier: Apache-2.0
import { domainUuid } from "../domain-uuid.ts";
import type { DomainWatch } from "../domain-watch.ts";
import { flavorName } from "../flavor.ts";
import type { Shell } from "../shell.ts";
import { SHELL_LEVELS, type ShellLevel } from "../shell-record.ts";
import { endOfDomain } from "../vm-end.ts";

/** A shell that waits for a pod. */
export interface WaitingShell {
  readonly shell: Shell;
  readonly level: ShellLevel;
}

/** The shells that wait, oldest first. Whoever takes one out owns it. */
export class WaitingShells {
  readonly #watch: DomainWatch;
  readonly #onDied: (waiting: WaitingShell, why: string) => void;
  readonly #watching = new Map<WaitingShell, Disposable>();

  /** `onDied` gets each shell that ends while it waits; it is out by then. */
  constructor(watch: DomainWatch, onDied: (waiting: WaitingShell, why: string) => void) {
    this.#watch = watch;
    this.#onDied = onDied;
  }

  add(waiting: WaitingShell): void {
    const { client, domid, events, id } = waiting.shell;
    const died = (why: string) => {
      if (this.remove(waiting)) this.#onDied(waiting, why);
    };
    void client.lost.then((error) => died(error.message));
    void events.ended.then((end) => died(end.message));
    const uuid = domainUuid(id);
    const watching = this.#watch.watch(domid, uuid, (fate) => died(endOfDomain(fate).message));
    this.#watching.set(waiting, watching);
  }

  /** Takes out the best of these shells: the one that is furthest, then the oldest. */
  take(flavor: string, levels: readonly ShellLevel[]): WaitingShell | undefined {
    const fitting = this.all().filter(
      ({ shell, level }) => flavorName(shell.plan.flavor) === flavor && levels.includes(level),
    );
    let best = fitting[0];
    for (const each of fitting) {
      if (best !== undefined && rank(each) > rank(best)) best = each;
    }
    if (best !== undefined) this.remove(best);
    return best;
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

function rank({ level }: WaitingShell): number {
  return SHELL_LEVELS.indexOf(level);
}
