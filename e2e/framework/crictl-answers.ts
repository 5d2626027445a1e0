// SPDX-License-Identifier: Apache-2.0

/** What crictl prints as JSON, as far as tests look at it: the CRI's fields in JSON's spelling. */

/** A line of `crictl pods` or `crictl ps`. */
export interface Listed {
  readonly id: string;
  readonly state: string;
}

/** `crictl inspect`; without an exit code while the container has none. */
export interface ContainerStatus {
  readonly state: string;
  readonly exitCode?: number;
  readonly reason?: string;
  readonly message?: string;
  readonly mounts: readonly {
    readonly containerPath: string;
    readonly hostPath: string;
    readonly readonly: boolean;
  }[];
}

/** `crictl inspectp`. */
export interface PodStatus {
  readonly state: string;
  readonly network: {
    readonly ip: string;
    readonly additionalIps: readonly { readonly ip: string }[];
  };
}

/** A line of `crictl images`. */
export interface StoredImage {
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
}

/** A condition in `crictl info`. */
export interface RuntimeCondition {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}
