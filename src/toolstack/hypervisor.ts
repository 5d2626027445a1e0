// SPDX-License-Identifier: Apache-2.0
import type { FileSender } from "../vmm/vmm-files.ts";

/** What Xen says of itself and of the machine. */
export interface HypervisorInfo {
  /** For example "4.20.3". */
  readonly xenVersion: string;
  /** Xen's capability string, for example "xen-3.0-x86_64 hvm-3.0-x86_64". */
  readonly capabilities: string;
  readonly freeMemoryBytes: bigint;
  readonly totalMemoryBytes: bigint;
  /** Hardware virtual machines are possible at all, */
  readonly hvm: boolean;
  /** and with hardware-assisted (nested) paging. */
  readonly hap: boolean;
  readonly cpus: number;
}

/** Why a domain has shut down: Xen's SHUTDOWN_* (public/sched.h); "other" for a newer one. */
export type ShutdownReason =
  | "poweroff"
  | "reboot"
  | "suspend"
  | "crash"
  | "watchdog"
  | "soft-reset"
  | "other";

/** One domain, as one hypercall saw it. */
export interface DomainInfo {
  readonly domid: number;
  /** Domain handle: 32 hexadecimal digits. */
  readonly uuid: string;
  readonly paused: boolean;
  /** Being destroyed; Xen still holds pages of it. */
  readonly dying: boolean;
  /** Set when the domain has ended and waits to be destroyed. */
  readonly shutdown: ShutdownReason | undefined;
  readonly memoryBytes: bigint;
  readonly vcpus: number;
  readonly cpuNanoseconds: bigint;
}

/** What a domain uses, by Xen's account. */
export interface DomainUsage {
  /** Over all vCPUs, since the domain was made. */
  readonly cpuNanoseconds: bigint;
  /** What Xen has given it. */
  readonly memoryBytes: bigint;
}

/** What a domain gets of the CPUs. */
export interface CpuShare {
  /** Against the weights of others while CPUs are short; 1 to 65535, a new domain has 256. */
  readonly weight: number;
  /** Most that all its vCPUs together get, in percent of one CPU; 0 = what they can use. */
  readonly capPercent: number;
}

/**
 * What only dom0 may ask of Xen. The calls that return at once are single hypercalls; a failure is
 * a LightvmError "unavailable" that names the call.
 */
export interface Hypervisor extends FileSender {
  info(): HypervisorInfo;
  listDomains(): DomainInfo[];
  /** Of all domains, by their numbers, as one hypercall saw them; much cheaper than a list. */
  domainUsages(): ReadonlyMap<number, DomainUsage>;
  /**
   * A number that stays the same while no domain comes or goes, begins to go, or ends: to look for
   * that in a list of a thousand domains takes tens of milliseconds of JavaScript.
   */
  domainsState(): bigint;
  /**
   * Returns for how many nanoseconds the domain has run before the call returned: Xen may let a guest
   * that wakes have the caller's CPU at once.
   */
  unpauseDomain(domid: number): bigint;
  pauseDomain(domid: number): void;
  /** Limits the memory that a domain can have from now on, in bytes; what it has it keeps. */
  limitMemory(domid: number, bytes: bigint): void;
  /** Whether Xen's scheduler knows what a CpuShare is: credit2 and credit do. */
  capsCpu(): boolean;
  /** Sets what a domain gets of the CPUs from now on; does nothing where `capsCpu` is false. */
  shareCpu(domid: number, share: CpuShare): void;
  /** Ends a domain and gives its memory back. A domain that is gone already is no error. */
  destroyDomain(domid: number): Promise<void>;
}
