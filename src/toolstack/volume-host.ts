// SPDX-License-Identifier: Apache-2.0
import type { IdMappings } from "../shared/id-mappings.ts";
import type { ProcessIdentity } from "../vmm/process-identity.ts";

/** How a volume is mounted. */
export interface VolumeOptions {
  /** No writes to the mount itself; */
  readonly readOnly: boolean;
  /** and none to what is mounted below it. */
  readonly recursively: boolean;
  /** What the host mounts below the source later is seen in the volume. */
  readonly followHost: boolean;
  /**
   * Owners of its files, and of what is mounted below it already, are seen as a user namespace with
   * these maps has them; undefined = as they are.
   */
  readonly idMappings?: IdMappings | undefined;
}

/** What volumes take of the host's kernel. They are mounts in the namespace of their file server. */
export interface VolumeHost {
  /** Two connected stream sockets, as descriptors that the caller closes. */
  socketPair(): [number, number];
  /** Mounts `source` (symlinks are followed, mounts below it come along) under a new name. */
  mountVolume(
    server: ProcessIdentity,
    source: string,
    name: string,
    options: VolumeOptions,
  ): Promise<void>;
  /** Takes a volume away, also from who uses it; no error when there is none. */
  unmountVolume(server: ProcessIdentity, name: string): Promise<void>;
  /** All volumes of a file server by name, and whether other mounts are below. */
  volumes(server: ProcessIdentity): Promise<ReadonlyMap<string, boolean>>;
}
