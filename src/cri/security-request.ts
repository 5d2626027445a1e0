// SPDX-License-Identifier: Apache-2.0
import {
  type LinuxContainerSecurityContext,
  NamespaceMode,
  type NamespaceOption,
  type SecurityProfile,
  SecurityProfile_ProfileType,
  SupplementalGroupsPolicy,
} from "../../cri-proto/generated/runtime/v1/security.ts";
import type { ContainerConfig } from "../pod/container-record.ts";
import type { SandboxConfig } from "../pod/sandbox-record.ts";
import { invalid, unsupported } from "./checks.ts";

/** Linux ids are 32 bits wide, and the last value means "none". */
const MAX_ID = 0xffff_fffen;

/** Namespaces of a pod or container. Those of the node are out of reach from inside a VM. */
export function podNamespaces(options: NamespaceOption | undefined): SandboxConfig["namespaces"] {
  checkUserNamespace(options);
  const mode = (wanted: NamespaceMode | undefined, what: string) => {
    switch (wanted) {
      case undefined:
      case NamespaceMode.POD:
        return "pod" as const;
      case NamespaceMode.CONTAINER:
        return "container" as const;
      case NamespaceMode.NODE:
        throw invalid(
          `the host's ${what} namespace (mode NODE) is not possible: the pod is a VM of its own`,
        );
      case NamespaceMode.TARGET:
        throw unsupported(`sharing the ${what} namespace of another container (mode TARGET)`);
      default:
        throw invalid(`there is no namespace mode ${wanted}`);
    }
  };
  return {
    network: mode(options?.network, "network"),
    pid: mode(options?.pid, "pid"),
    ipc: mode(options?.ipc, "ipc"),
  };
}

function checkUserNamespace(options: NamespaceOption | undefined): void {
  const user = options?.usernsOptions;
  if (user !== undefined && (user.uids.length > 0 || user.gids.length > 0)) {
    throw unsupported("user namespaces with id mappings");
  }
}

/** Profiles of the node cannot be loaded into a guest. */
export function checkProfiles(
  seccomp: SecurityProfile | undefined,
  apparmor: SecurityProfile | undefined,
): void {
  for (const [kind, profile] of [
    ["seccomp", seccomp],
    ["AppArmor", apparmor],
  ] as const) {
    if (profile?.profileType === SecurityProfile_ProfileType.Localhost) {
      throw unsupported(`the ${kind} profile "${profile.localhostRef}" of the node`);
    }
  }
}

/** What a container's processes may do. */
export function containerSecurity(
  context: LinuxContainerSecurityContext | undefined,
): ContainerConfig["security"] {
  podNamespaces(context?.namespaceOptions);
  checkProfiles(context?.seccomp, context?.apparmor);
  const { capabilities } = context ?? {};
  if ((capabilities?.addAmbientCapabilities ?? []).length > 0) {
    throw unsupported("ambient capabilities");
  }
  return {
    privileged: context?.privileged ?? false,
    user: user(context),
    supplementalGroups: (context?.supplementalGroups ?? []).map((group) =>
      linuxId(group, "a supplemental group"),
    ),
    strictSupplementalGroups: context?.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict,
    addCapabilities: capabilities?.addCapabilities ?? [],
    dropCapabilities: capabilities?.dropCapabilities ?? [],
    noNewPrivileges: context?.noNewPrivs ?? false,
    readOnlyRoot: context?.readonlyRootfs ?? false,
    maskedPaths: context?.maskedPaths ?? [],
    readOnlyPaths: context?.readonlyPaths ?? [],
  };
}

/** "uid", "uid:gid", "name", "name:gid", or "" for the image's user. */
function user(context: LinuxContainerSecurityContext | undefined): string {
  const { runAsUser, runAsUsername = "", runAsGroup } = context ?? {};
  if (runAsUser !== undefined && runAsUsername !== "") {
    throw invalid("run_as_user and run_as_username exclude each other");
  }
  if (runAsUsername.includes(":")) throw invalid(`"${runAsUsername}" cannot be a user name`);
  const name = runAsUser ? String(linuxId(runAsUser.value, "run_as_user")) : runAsUsername;
  if (runAsGroup === undefined) return name;
  if (name === "") throw invalid("run_as_group needs run_as_user or run_as_username");
  return `${name}:${linuxId(runAsGroup.value, "run_as_group")}`;
}

function linuxId(value: bigint, what: string): number {
  if (value < 0n || value > MAX_ID) throw invalid(`${what} cannot be ${value}`);
  return Number(value);
}
