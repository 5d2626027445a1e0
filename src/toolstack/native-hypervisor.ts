// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { LightvmError } from "../shared/errors.ts";
import type { DomainInfo, Hypervisor, HypervisorInfo, ShutdownReason } from "./hypervisor.ts";
import type { VolumeOptions } from "./volume-host.ts";

/** What native/addon exports (native/addon/index.d.ts). */
export interface Addon {
  hostInfo(): HypervisorInfo;
  listDomains(): AddonDomain[];
  domainsState(): bigint;
  unpauseDomain(domid: number): bigint;
  pauseDomain(domid: number): void;
  destroyDomain(domid: number): Promise<void>;
  sendFile(
    socketPath: string,
    hello: Buffer,
    fd: number,
    timeoutMilliseconds: number,
  ): Promise<void>;
  socketPair(): [number, number];
  mountVolume(
    pid: number,
    startTime: string,
    source: string,
    name: string,
    options: VolumeOptions,
  ): Promise<void>;
  unmountVolume(pid: number, startTime: string, name: string): Promise<void>;
}

/** A domain as the addon reports it: `shutdownReason` is Xen's number, -1 while it runs. */
export interface AddonDomain extends Omit<DomainInfo, "shutdown"> {
  readonly shutdown: boolean;
  readonly shutdownReason: number;
}

/** Xen public/sched.h, SHUTDOWN_*. */
const SHUTDOWN_REASONS: readonly ShutdownReason[] = [
  "poweroff",
  "reboot",
  "suspend",
  "crash",
  "watchdog",
  "soft-reset",
];

/** Loads the addon. Throws "unavailable" when it is missing or does not fit this Node. */
export function loadAddon(path: string): Addon {
  if (!existsSync(path)) {
    throw new LightvmError("unavailable", `the native addon is missing: ${path}`);
  }
  try {
    return createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw new LightvmError("unavailable", `cannot load the native addon ${path}`, { cause });
  }
}

/** The hypervisor below this dom0, through the Node-API addon. */
export class NativeHypervisor implements Hypervisor {
  readonly #addon: Addon;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  /** See `loadAddon`. */
  static load(path: string): NativeHypervisor {
    return new NativeHypervisor(loadAddon(path));
  }

  info(): HypervisorInfo {
    return attempt("ask Xen about the host", () => this.#addon.hostInfo());
  }

  domainsState(): bigint {
    return attempt("list the domains", () => this.#addon.domainsState());
  }

  listDomains(): DomainInfo[] {
    const domains = attempt("list the domains", () => this.#addon.listDomains());
    return domains.map(({ shutdown, shutdownReason, ...domain }) => ({
      ...domain,
      shutdown: shutdown ? (SHUTDOWN_REASONS[shutdownReason] ?? "other") : undefined,
    }));
  }

  unpauseDomain(domid: number): bigint {
    return attempt(`unpause domain ${domid}`, () => this.#addon.unpauseDomain(domid));
  }

  pauseDomain(domid: number): void {
    attempt(`pause domain ${domid}`, () => this.#addon.pauseDomain(domid));
  }

  async destroyDomain(domid: number): Promise<void> {
    try {
      await this.#addon.destroyDomain(domid);
    } catch (cause) {
      if (!this.listDomains().some((domain) => domain.domid === domid)) return;
      throw new LightvmError("unavailable", `cannot destroy domain ${domid}`, { cause });
    }
  }

  async sendFile(socketPath: string, hello: Buffer, fd: number, timeoutMs: number): Promise<void> {
    try {
      await this.#addon.sendFile(socketPath, hello, fd, timeoutMs);
    } catch (cause) {
      throw new LightvmError("unavailable", `cannot hand a file to ${socketPath}`, { cause });
    }
  }
}

function attempt<T>(what: string, hypercall: () => T): T {
  try {
    return hypercall();
  } catch (cause) {
    throw new LightvmError("unavailable", `cannot ${what}`, { cause });
  }
}
