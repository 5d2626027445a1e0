// SPDX-License-Identifier: Apache-2.0
import type { DomainUsage } from "./hypervisor.ts";
import type { PodVm, PodVmSpec } from "./pod-vm.ts";
import type { PoolMetrics } from "./pool/metrics.ts";
import type { PodShell } from "./unikernel.ts";

/** What the host has, for admission, Status and doctor. */
export interface HostState {
  /** For example "4.20.3". */
  readonly xenVersion: string;
  readonly freeMemoryBytes: bigint;
  readonly totalMemoryBytes: bigint;
}

/** Makes, finds again and cleans up the VMs of pods. The only way from a service to a domain. */
export interface Toolstack {
  /**
   * Waits in the line of pods that are being started; dispose of it once the pod is ready. So many
   * start at once as the node can carry, in the order in which they came, and background work stands
   * back meanwhile. Throws "cancelled".
   */
  turn(signal: AbortSignal): Promise<Disposable>;
  /**
   * Builds, boots and returns a VM whose agent answers. Undoes everything when it throws:
   * resource-exhausted (no Xen memory), unavailable (no Xen, agent never answered, guest died at
   * boot: the message then ends with the last lines of the boot log), cancelled.
   */
  create(spec: PodVmSpec, signal: AbortSignal): Promise<PodVm>;
  /**
   * The VM of a pod whose guest is its image's own kernel, waiting for it. Throws as `create` does
   * for want of memory or of Xen.
   */
  prepareShell(spec: PodVmSpec, signal: AbortSignal): Promise<PodShell>;
  /**
   * After a restart: finds the VM of a pod that lightvmd remembers. undefined when nothing of it
   * is left, and of a shell that still waited; a PodVm with `end` set when it has died meanwhile.
   */
  adopt(spec: PodVmSpec, signal: AbortSignal): Promise<PodVm | undefined>;
  /**
   * After a restart, once all pods are adopted: finds the shells again that wait for pods. Throws
   * only when `signal` is aborted.
   */
  adoptShells(signal: AbortSignal): Promise<void>;
  /** Destroys each domain, VMM, jail and directory of ours that is neither `known` nor adopted. */
  destroyOrphans(known: ReadonlySet<string>): Promise<void>;
  host(): HostState;
  /** All domains by their numbers, as one hypercall saw them. */
  domains(): ReadonlyMap<number, DomainUsage>;
  /** What waits for pods, and how often it served. */
  pool(): PoolMetrics;
}
