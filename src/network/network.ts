// SPDX-License-Identifier: Apache-2.0

/** A port of the node that leads to one of the pod's. */
export interface PortMapping {
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: "tcp" | "udp" | "sctp";
  /** Address of the node; "" = all. */
  readonly hostIP: string;
}

/** Where a pod looks names up. */
export interface Dns {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** What a pod asks of the network. */
export interface NetworkRequest {
  /** Sandbox id. */
  readonly id: string;
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly portMappings: readonly PortMapping[];
  readonly dns: Dns;
  /** Of the pod; some say how fast its network may be. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** A part of an attachment, and how long it took. */
export interface AttachmentStep {
  /** "namespace", or the plugin's type. */
  readonly name: string;
  readonly nanoseconds: bigint;
}

/** A pod's place in the network. */
export interface Attachment {
  /** Where the time went, one after the other. */
  readonly steps: readonly AttachmentStep[];
  /** Addresses without prefix length, the pod's first one first. */
  readonly addresses: readonly string[];
  /** What the network's plugins say about DNS; nothing in it when they say nothing. */
  readonly dns: Dns;
}

/** A route of the main table; "" = none, metric 0 = the kernel's default. */
export interface Route {
  readonly destination: string;
  readonly gateway: string;
  readonly onLink: boolean;
  readonly metric: number;
  readonly source: string;
}

/** The host's end of a guest's interface, and what the guest must set its own end to. */
export interface Tap extends Disposable {
  /** Closed when this is disposed of. */
  readonly fd: number;
  readonly mac: Buffer;
  readonly mtu: number;
  /** It leaves checksums and TCP segmentation to the guest. */
  readonly offloads: boolean;
  /** With prefix length. */
  readonly addresses: readonly string[];
  /** In the order in which they can be added. */
  readonly routes: readonly Route[];
}

/** The interface's name in the pod. */
export const POD_INTERFACE = "eth0";

/**
 * The way of pods to a network, and back out of it. Disposing of it ends what is done in the
 * background; pods stay where they are.
 */
export interface Network extends AsyncDisposable {
  /** Why no pod can be given a network now; undefined when one can. Asked of the disk. */
  obstacle(): string | undefined;
  /**
   * Gives a pod a network namespace with an interface in it. Throws "failed-precondition" when the
   * node has no network, "unavailable" or "internal" when a plugin fails; `detach` undoes what is
   * done by then.
   */
  attach(request: NetworkRequest, signal: AbortSignal): Promise<Attachment>;
  /** Opens the way from an attached pod's interface to its VM; once, and before the VM needs it. */
  openTap(id: string, offloads: boolean): Promise<Tap>;
  /**
   * Has the plugins look at an attached pod's network. Throws when it is not as they have made it; does
   * nothing when they cannot look (before CNI 0.4.0), or are not to (`disableCheck`).
   */
  check(id: string, signal: AbortSignal): Promise<void>;
  /** Takes a pod out of the network. Nothing there = nothing to do; what failed is tried again. */
  detach(id: string): Promise<void>;
  /** Detaches every pod but `known`, and has the plugins drop what belongs to nobody. */
  collectGarbage(known: ReadonlySet<string>): Promise<void>;
  /** The address ranges of this node's pods, for plugins that take them from us. */
  setPodCidr(cidr: string): void;
}
