// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "../shared/logger.ts";
import type { Hypervisor, ShutdownReason } from "./hypervisor.ts";

/** What became of a domain: Xen's reason, or it is not there any more. */
export type DomainFate = ShutdownReason | "missing";

interface Watched {
  readonly domid: number;
  readonly uuid: string;
  readonly onGone: (fate: DomainFate) => void;
}

type DomainSource = Pick<Hypervisor, "domainsState" | "listDomains">;

/**
 * Notices domains that end without a word (a crash, a triple fault, somebody's `xl destroy`): one
 * hypercall an interval, for all domains together, and a look at each when something has changed. In
 * the common case the VMM has said so before.
 */
export class DomainWatch {
  readonly #hypervisor: DomainSource;
  readonly #logger: Logger;
  readonly #intervalMs: number;
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;
  /** What Xen's domains were like at the last look; undefined when there is something new to look for. */
  #seen: bigint | undefined;

  constructor(hypervisor: DomainSource, logger: Logger, intervalMs: number = 1000) {
    this.#hypervisor = hypervisor;
    this.#logger = logger;
    this.#intervalMs = intervalMs;
  }

  /** Calls `onGone` once, when the domain has ended, unless the watch is disposed of before. */
  watch(domid: number, uuid: string, onGone: (fate: DomainFate) => void): Disposable {
    const watched: Watched = { domid, uuid, onGone };
    this.#watched.add(watched);
    this.#seen = undefined;
    this.#arm();
    return { [Symbol.dispose]: () => void this.#watched.delete(watched) };
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#watched.size === 0) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#look();
      this.#arm();
    }, this.#intervalMs);
    this.#timer.unref();
  }

  #look(): void {
    if (this.#watched.size === 0) return;
    let domains: ReturnType<Hypervisor["listDomains"]>;
    try {
      const state = this.#hypervisor.domainsState();
      if (state === this.#seen) return;
      // Before the list: what changes in between is looked for once more.
      this.#seen = state;
      domains = this.#hypervisor.listDomains();
    } catch (error) {
      this.#seen = undefined;
      this.#logger.warn({ error }, "cannot look after the domains");
      return;
    }
    const byId = new Map(domains.map((domain) => [domain.domid, domain]));
    for (const watched of [...this.#watched]) {
      const domain = byId.get(watched.domid);
      // A number is given out again after the domain is gone; the handle tells.
      const same = domain?.uuid === watched.uuid && !domain.dying;
      const fate = same ? domain.shutdown : "missing";
      if (fate === undefined) continue;
      this.#watched.delete(watched);
      watched.onGone(fate);
    }
  }
}
