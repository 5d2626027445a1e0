// SPDX-License-Identifier: Apache-2.0
import {
  type PodSandbox,
  type PodSandboxFilter,
  type PodSandboxMetadata,
  type PodSandboxNetworkStatus,
  PodSandboxState,
  type PodSandboxStatus,
} from "../../cri-proto/generated/runtime/v1/sandbox.ts";
import {
  NamespaceMode,
  type UserNamespace,
} from "../../cri-proto/generated/runtime/v1/security.ts";
import type { Sandbox, SandboxState } from "../pod/sandbox.ts";
import type { SandboxConfig } from "../pod/sandbox-record.ts";
import type { SandboxFilter } from "../service/sandbox/list.ts";

/** A sandbox in a list. */
export function podSandbox(sandbox: Sandbox): PodSandbox {
  const { config, createdAt, id } = sandbox.metadata;
  return {
    id,
    metadata: metadata(sandbox),
    state: wireState(sandbox.state),
    createdAt,
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: config.runtimeHandler,
  };
}

/** All about a sandbox; it has its addresses as long as it has its VM. */
export function podSandboxStatusMessage(sandbox: Sandbox): PodSandboxStatus {
  const { namespaces, userNamespace } = sandbox.metadata.config;
  return {
    ...podSandbox(sandbox),
    network: networkStatus(sandbox),
    linux: {
      namespaces: {
        options: {
          network: wireNamespace(namespaces.network),
          pid: wireNamespace(namespaces.pid),
          ipc: wireNamespace(namespaces.ipc),
          targetId: "",
          usernsOptions: userNamespaceMessage(userNamespace),
        },
      },
    },
  };
}

function networkStatus({ state, status }: Sandbox): PodSandboxNetworkStatus {
  const [ip = "", ...others] = state === "ready" ? (status.addresses ?? []) : [];
  return { ip, additionalIps: others.map((address) => ({ ip: address })) };
}

/** What ListPodSandbox shall match. */
export function sandboxFilter(filter: PodSandboxFilter | undefined): SandboxFilter {
  const state = filter?.state?.state;
  return {
    id: filter?.id ?? "",
    state: state === undefined ? undefined : domainState(state),
    labels: filter?.labelSelector ?? {},
  };
}

function metadata(sandbox: Sandbox): PodSandboxMetadata {
  const { attempt, name, namespace, uid } = sandbox.metadata.config;
  return { attempt, name, namespace, uid };
}

function wireState(state: SandboxState): PodSandboxState {
  return state === "ready" ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

function domainState(state: PodSandboxState): SandboxState {
  return state === PodSandboxState.SANDBOX_READY ? "ready" : "not-ready";
}

function userNamespaceMessage(mappings: SandboxConfig["userNamespace"]): UserNamespace | undefined {
  if (mappings === undefined) return undefined;
  const { gids, uids } = mappings;
  return {
    mode: NamespaceMode.POD,
    uids: [{ ...uids, containerId: 0 }],
    gids: [{ ...gids, containerId: 0 }],
  };
}

function wireNamespace(mode: "pod" | "container"): NamespaceMode {
  return mode === "pod" ? NamespaceMode.POD : NamespaceMode.CONTAINER;
}
