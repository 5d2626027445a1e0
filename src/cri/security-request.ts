// SPDX-License-Identifier: Apache-2.0
import {
  type LinuxContainerSecurityContext,
  type SecurityProfile,
  SecurityProfile_ProfileType,
  SupplementalGroupsPolicy,
  type UserNamespace,
} from "../../cri-proto/generated/runtime/v1/security.ts";
import type { ContainerConfig } from "../pod/container-record.ts";
import { invalid, oneLine, unsupported } from "./checks.ts";
import { containerNamespaces, userNamespace } from "./namespace-request.ts";

/** Linux ids are 32 bits wide, and the last value means "none". */
const MAX_ID = 0xffff_fffen;

/** What a container's processes may do. */
export function containerSecurity(
  context: LinuxContainerSecurityContext | undefined,
): ContainerConfig["security"] {
  checkAppArmor(context?.apparmor, context?.apparmorProfile);
  const { capabilities } = context ?? {};
  const ambient = capabilities?.addAmbientCapabilities ?? [];
  return {
    privileged: context?.privileged ?? false,
    user: user(context),
    supplementalGroups: (context?.supplementalGroups ?? []).map((group) =>
      linuxId(group, "a supplemental group"),
    ),
    strictSupplementalGroups: strictGroups(context?.supplementalGroupsPolicy),
    // What is ambient must be permitted first.
    addCapabilities: [...(capabilities?.addCapabilities ?? []), ...ambient],
    dropCapabilities: capabilities?.dropCapabilities ?? [],
    ambientCapabilities: ambient,
    noNewPrivileges: context?.noNewPrivs ?? false,
    readOnlyRoot: context?.readonlyRootfs ?? false,
    maskedPaths: (context?.maskedPaths ?? []).map((path) => absolutePath(path, "masked_paths")),
    readOnlyPaths: (context?.readonlyPaths ?? []).map((path) =>
      absolutePath(path, "readonly_paths"),
    ),
    seccomp: seccomp(context?.seccomp, context?.seccompProfilePath),
    namespaces: containerNamespaces(context?.namespaceOptions),
    ...containerUserNamespace(context?.namespaceOptions?.usernsOptions),
  };
}

function containerUserNamespace(
  options: UserNamespace | undefined,
): Pick<ContainerConfig["security"], "userNamespace"> {
  if (options === undefined) return {};
  const idMappings = userNamespace(options);
  return { userNamespace: idMappings === undefined ? {} : { idMappings } };
}

/** Profiles are loaded into a kernel, and the node's is not the pod's. */
export function checkAppArmor(profile: SecurityProfile | undefined, deprecated = ""): void {
  const old = /^localhost\/(.*)$/.exec(deprecated)?.[1];
  const named = profile?.profileType === SecurityProfile_ProfileType.Localhost;
  const name = named ? profile.localhostRef : profile === undefined ? old : undefined;
  if (name === undefined) return;
  throw unsupported(
    `the AppArmor profile "${name}": it is loaded into the node's kernel, and a pod has a kernel of its own; leave it out, or use a seccomp profile, which works`,
  );
}

/** No profile at all means no filter, as the CRI's own tests have it. */
export function seccomp(
  profile: SecurityProfile | undefined,
  deprecated = "",
): ContainerConfig["security"]["seccomp"] {
  if (profile === undefined) return deprecatedSeccomp(deprecated);
  switch (profile.profileType) {
    case SecurityProfile_ProfileType.RuntimeDefault:
      return { kind: "runtime-default" };
    case SecurityProfile_ProfileType.Unconfined:
      return { kind: "unconfined" };
    case SecurityProfile_ProfileType.Localhost:
      return localSeccomp(profile.localhostRef);
    default:
      throw invalid(`there is no type ${profile.profileType} of seccomp profiles`);
  }
}

/** As kubelets before 1.19 wrote it: one string for all. */
function deprecatedSeccomp(text: string): ContainerConfig["security"]["seccomp"] {
  if (text === "" || text === "unconfined") return { kind: "unconfined" };
  if (text === "runtime/default" || text === "docker/default") return { kind: "runtime-default" };
  if (text.startsWith("localhost/")) return localSeccomp(text.slice("localhost/".length));
  throw invalid(`"${text}" is no seccomp profile`);
}

function localSeccomp(path: string): ContainerConfig["security"]["seccomp"] {
  return { kind: "localhost", path: absolutePath(path, "the seccomp profile") };
}

function absolutePath(path: string, what: string): string {
  if (!path.startsWith("/")) throw invalid(`${what} of "${path}" is not absolute`);
  return oneLine(path, what);
}

function strictGroups(policy: SupplementalGroupsPolicy | undefined): boolean {
  switch (policy) {
    case undefined:
    case SupplementalGroupsPolicy.Merge:
      return false;
    case SupplementalGroupsPolicy.Strict:
      return true;
    default:
      throw invalid(`there is no policy ${policy} for supplemental groups`);
  }
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
