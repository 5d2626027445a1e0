// SPDX-License-Identifier: Apache-2.0

/** What Xen says of itself and of the machine. */
export interface HostInfo {
  xenVersion: string;
  capabilities: string;
  freeMemoryBytes: bigint;
  totalMemoryBytes: bigint;
  hvm: boolean;
  hap: boolean;
  cpus: number;
}

/** One domain; `shutdownReason` is Xen's SHUTDOWN_*, -1 while it runs. */
export interface DomainInfo {
  domid: number;
  uuid: string;
  paused: boolean;
  dying: boolean;
  shutdown: boolean;
  shutdownReason: number;
  memoryBytes: bigint;
  vcpus: number;
  cpuNanoseconds: bigint;
}

/** Every call throws or rejects with one line that says what Xen or the system refused. */
export function hostInfo(): HostInfo;
export function listDomains(): DomainInfo[];
export function unpauseDomain(domid: number): void;
export function pauseDomain(domid: number): void;
/** A domain that is gone is no error. */
export function destroyDomain(domid: number): Promise<void>;
/** Sends `hello` with descriptor `fd` on its first byte, then waits for the answer: one byte 0. */
export function sendFile(
  socketPath: string,
  hello: Buffer,
  fd: number,
  timeoutMilliseconds: number,
): Promise<void>;
