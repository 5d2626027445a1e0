// SPDX-License-Identifier: Apache-2.0

/**
 * What the rest of the node sees of images: pull by reference, look up, list, remove, and for each
 * image one EROFS file that a guest mounts read-only. Everything that these functions return is
 * whole and verified; a half-pulled image is never visible.
 */

/** What the image's author says about running it, from the OCI image configuration. */
export interface ImageConfig {
  /** As in the configuration: "user", "uid", "user:group", "uid:gid", or "" for root. */
  readonly user: string;
  /** Empty = none. */
  readonly entrypoint: readonly string[];
  /** Arguments of the entrypoint, or the whole command when there is none. Empty = none. */
  readonly command: readonly string[];
  /** "NAME=value", in order; every item has a non-empty name. */
  readonly environment: readonly string[];
  /** Absolute path, or "" when the image names none. */
  readonly workingDirectory: string;
  /** For example "SIGTERM" or "15"; "" when the image names none. */
  readonly stopSignal: string;
  /** Absolute paths of the volumes that the image declares, sorted. */
  readonly volumes: readonly string[];
  /** For example "80/tcp", sorted. */
  readonly exposedPorts: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

/** A pulled image. All fields are of one moment; ask again after a pull or a removal. */
export interface Image {
  /** "sha256:…": digest of the image's configuration. */
  readonly id: string;
  /** Full references with a tag ("docker.io/library/busybox:1.37"), sorted. May be empty. */
  readonly repoTags: readonly string[];
  /** Full references with a manifest digest ("docker.io/library/busybox@sha256:…"), sorted. */
  readonly repoDigests: readonly string[];
  /** Bytes that the image takes on the node's disk. */
  readonly size: number;
  /** The image's file system: an EROFS file, readable, never written to again. */
  readonly erofsPath: string;
  /** The kernel of a unikernel, a file of its own; undefined for every other image. */
  readonly kernelPath: string | undefined;
  readonly config: ImageConfig;
  /** When it was first pulled, milliseconds since the epoch. */
  readonly pulledAt: number;
}

/** Who pulls. At most one of the ways is used: token, then username and password. */
export interface Credentials {
  readonly username?: string | undefined;
  readonly password?: string | undefined;
  /** OAuth2 refresh token that buys a registry token at the registry's token service. */
  readonly identityToken?: string | undefined;
  /** Sent to the registry as it is (`Authorization: Bearer …`). */
  readonly registryToken?: string | undefined;
}

export interface PullOptions {
  readonly credentials?: Credentials | undefined;
  /** Ends this caller's wait. The work itself ends when no caller is left. */
  readonly signal?: AbortSignal | undefined;
}

export interface PulledImage {
  readonly id: string;
  readonly repoDigests: readonly string[];
}

/** An image by digest, as a container's status names it; by its id when it came without one. */
export function imageRef({ id, repoDigests }: Image): string {
  return repoDigests[0] ?? id;
}

/** Disk use of the image store, for the CRI's ImageFsInfo. */
export interface ImageFsInfo {
  /** When it was measured, milliseconds since the epoch. */
  readonly timestamp: number;
  /** The directory that is measured. */
  readonly mountpoint: string;
  readonly usedBytes: number;
  readonly usedInodes: number;
}

/** The images of a node. */
export interface Images {
  /**
   * Makes the image that `reference` names available. A tag is looked up at the registry every
   * time; what is on disk already is not fetched again. Concurrent pulls of one image share the work.
   *
   * Throws "invalid-argument" (reference), "not-found" (no such image there), "unauthenticated",
   * "unavailable" (registry gone or silent), "data-loss" (content does not match its digest, or is
   * malformed), "unimplemented" (no image for this platform or a format we don't read),
   * "resource-exhausted" (disk full), "cancelled".
   */
  pull(reference: string, options?: PullOptions): Promise<PulledImage>;

  /**
   * The image that a string names: an id ("sha256:…" or its bare hex, whole or a unique prefix of
   * at least 12 digits), a reference with tag or digest, or a short one ("busybox"). Undefined when there is none,
   * and when the string cannot be a reference at all.
   */
  get(referenceOrId: string): Image | undefined;

  /** All images, or those that `referenceOrId` names; sorted by id. */
  list(referenceOrId?: string): readonly Image[];

  /**
   * Removes what a string names: a tag goes alone while others still lead to the image; an id, a
   * digest or the last reference takes the image with it. Not there = nothing to do. The caller has checked
   * that no container uses the image.
   */
  remove(referenceOrId: string): Promise<void>;

  fsInfo(): Promise<ImageFsInfo>;
}
