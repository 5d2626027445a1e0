// SPDX-License-Identifier: Apache-2.0
import type { Route } from "./network.ts";

/** What the kernel says about a new tap and the interface that it is joined with. */
export interface TapInfo {
  readonly fd: number;
  readonly mac: Buffer;
  readonly mtu: number;
  readonly addresses: string[];
  readonly routes: Route[];
}

/** Network namespaces of the node's kernel. */
export interface Namespaces {
  /** Makes one, its loopback on. It lives as long as its descriptor, which the caller closes. */
  open(): Promise<number>;
  /** Keeps the namespace of a descriptor by a mount at `path`. The descriptor stays the caller's. */
  keep(fd: number, path: string): Promise<void>;
  /** True when a namespace is kept at `path`; a file that one was to be kept at is none. */
  exists(path: string): boolean;
  /** Lets go of one; it is no error when there is none. */
  delete(path: string): Promise<void>;
  /** Makes a tap in one and joins it with an interface there. The caller closes the descriptor. */
  openTap(path: string, interfaceName: string, offloads: boolean): Promise<TapInfo>;
}
