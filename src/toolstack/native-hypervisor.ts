// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import { awaitAddon, callAddon, type NativeAddon } from "../shared/native-addon.ts";
import type {
  CpuShare,
  DomainInfo,
  DomainUsage,
  Hypervisor,
  HypervisorInfo,
  ShutdownReason,
} from "./hypervisor.ts";

type Addon = Pick<
  NativeAddon,
  | "hostInfo"
  | "listDomains"
  | "domainUsages"
  | "domainsState"
  | "unpauseDomain"
  | "pauseDomain"
  | "limitMemory"
  | "capsCpu"
  | "shareCpu"
  | "destroyDomain"
  | "sendFiles"
>;

/** Xen public/sched.h, SHUTDOWN_*. */
const SHUTDOWN_REASONS: readonly ShutdownReason[] = [
  "poweroff",
  "reboot",
  "suspend",
  "crash",
  "watchdog",
  "soft-reset",
];

/** The hypervisor below this dom0, through the Node-API addon. */
export class NativeHypervisor implements Hypervisor {
  readonly #addon: Addon;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  info(): HypervisorInfo {
    return callAddon("unavailable", "ask Xen about the host", () => this.#addon.hostInfo());
  }

  domainsState(): bigint {
    return callAddon("unavailable", "list the domains", () => this.#addon.domainsState());
  }

  listDomains(): DomainInfo[] {
    const domains = callAddon("unavailable", "list the domains", () => this.#addon.listDomains());
    return domains.map(({ shutdown, shutdownReason, ...domain }) => ({
      ...domain,
      shutdown: shutdown ? (SHUTDOWN_REASONS[shutdownReason] ?? "other") : undefined,
    }));
  }

  domainUsages(): ReadonlyMap<number, DomainUsage> {
    const numbers = callAddon("unavailable", "list the domains", () => this.#addon.domainUsages());
    const usages = new Map<number, DomainUsage>();
    for (let at = 0; at < numbers.length; at += 3) {
      const cpuNanoseconds = numbers[at + 1] ?? 0n;
      const memoryBytes = numbers[at + 2] ?? 0n;
      usages.set(Number(numbers[at]), { cpuNanoseconds, memoryBytes });
    }
    return usages;
  }

  unpauseDomain(domid: number): bigint {
    return callAddon("unavailable", `unpause domain ${domid}`, () =>
      this.#addon.unpauseDomain(domid),
    );
  }

  pauseDomain(domid: number): void {
    callAddon("unavailable", `pause domain ${domid}`, () => this.#addon.pauseDomain(domid));
  }

  limitMemory(domid: number, bytes: bigint): void {
    callAddon("unavailable", `limit the memory of domain ${domid}`, () =>
      this.#addon.limitMemory(domid, bytes),
    );
  }

  capsCpu(): boolean {
    return callAddon("unavailable", "ask Xen for its scheduler", () => this.#addon.capsCpu());
  }

  shareCpu(domid: number, { capPercent, weight }: CpuShare): void {
    callAddon("unavailable", `set the CPU share of domain ${domid}`, () =>
      this.#addon.shareCpu(domid, weight, capPercent),
    );
  }

  async destroyDomain(domid: number): Promise<void> {
    try {
      await this.#addon.destroyDomain(domid);
    } catch (cause) {
      if (!this.listDomains().some((domain) => domain.domid === domid)) return;
      throw new LightvmError("unavailable", `cannot destroy domain ${domid}`, { cause });
    }
  }

  sendFiles(
    socketPath: string,
    hello: Buffer,
    fds: readonly number[],
    timeoutMs: number,
  ): Promise<void> {
    const what = `hand files to ${socketPath}`;
    const send = () => this.#addon.sendFiles(socketPath, hello, fds, timeoutMs);
    return awaitAddon("unavailable", what, send);
  }
}
