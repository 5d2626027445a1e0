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
/** domid, nanoseconds of CPU time and bytes of memory of each domain, one after the other. */
export function domainUsages(): BigUint64Array;
/** A number that stays the same while no domain comes or goes, begins to go, or ends. */
export function domainsState(): bigint;
/** For how many nanoseconds the domain has run before the call returned. */
export function unpauseDomain(domid: number): bigint;
export function pauseDomain(domid: number): void;
/** Limits the memory that a domain can have from now on, in bytes. */
export function limitMemory(domid: number, bytes: bigint): void;
/** Whether Xen's scheduler knows weights and caps. */
export function capsCpu(): boolean;
/** Weight 1 to 65535; percent of one CPU for all vCPUs together, 0 = no limit. Nothing without `capsCpu`. */
export function shareCpu(domid: number, weight: number, capPercent: number): void;
/** A domain that is gone is no error. */
export function destroyDomain(domid: number): Promise<void>;
/** Sends `hello` with descriptors `fds` on its first byte, then waits for the answer: one byte 0. */
export function sendFiles(
  socketPath: string,
  hello: Buffer,
  fds: readonly number[],
  timeoutMilliseconds: number,
): Promise<void>;

/** A child that is spoken with over a socket, which the caller closes. */
export interface StartedServer {
  pid: number;
  control: number;
}

/** A child that is spoken with over pipes, which the caller closes. */
export interface StartedFilter {
  pid: number;
  stdin: number;
  stdout: number;
  stderr: number;
}

/** How a child has ended: one of the two, or neither when nobody can tell any more. */
export interface ProcessExit {
  exitCode?: number;
  signal?: string;
}

/**
 * Starts a program without a copy of this process: no environment, nothing on its standard input, `log`
 * as its output, a control socket as descriptor 3, and `more` behind it. In the session of this process.
 */
export function startServer(
  program: string,
  args: string[],
  log: number,
  more: number[],
): StartedServer;
/** The same, without arguments, with pipes as its standard streams. */
export function startFilter(program: string, environment: string[]): StartedFilter;
/** null while it runs; afterwards the answer is given once. */
export function reapProcess(pid: number): ProcessExit | null;

/** A route of the main table; "" = none, metric 0 = the kernel's default. */
export interface TapRoute {
  destination: string;
  gateway: string;
  onLink: boolean;
  metric: number;
  source: string;
}

/** A tap, whose descriptor the caller must close, and how the interface is set up that it is joined with. */
export interface TapInfo {
  fd: number;
  mac: Buffer;
  mtu: number;
  addresses: string[];
  routes: TapRoute[];
}

/** Makes a network namespace, its loopback on. It lives as long as its descriptor, which the caller must close. */
export function openNetworkNamespace(): Promise<number>;
/** Keeps a namespace at `path` as ip-netns(8) does. `fd` stays the caller's, and open until this is done. */
export function keepNetworkNamespace(fd: number, path: string): Promise<void>;
/** One that is not there is no error. */
export function deleteNetworkNamespace(path: string): Promise<void>;
/** Makes a tap in the namespace at `path`: what arrives at it leaves through `interfaceName`, and the reverse. */
export function openTap(path: string, interfaceName: string, offloads: boolean): Promise<TapInfo>;

/** How a volume is mounted. */
export interface VolumeOptions {
  /** No writes to the mount itself; */
  readOnly: boolean;
  /** and none to what is mounted below it. */
  recursively: boolean;
  /** What the host mounts below the source later is seen in the volume. */
  followHost: boolean;
  /** How owners of its files, and of what is mounted below it already, are seen; undefined = as they are. */
  idMappings?: { uids: IdRange; gids: IdRange } | undefined;
}

/** Ids of files from 0 on are seen as those from `hostId` on; others are nobody's. */
export interface IdRange {
  hostId: number;
  length: number;
}

/** Two connected stream sockets, as descriptors that the caller closes. */
export function socketPair(): [number, number];
/**
 * Mounts `source` (symlinks are followed, mounts below it come along) as the volume `name` of the
 * file server with this pid and start time (field 22 of /proc/PID/stat).
 */
export function mountVolume(
  pid: number,
  startTime: string,
  source: string,
  name: string,
  options: VolumeOptions,
): Promise<void>;
/** Takes a volume of a file server away; no error when there is none. */
export function unmountVolume(pid: number, startTime: string, name: string): Promise<void>;
