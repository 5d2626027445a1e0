// SPDX-License-Identifier: Apache-2.0
import type { IDMapping } from "../../cri-proto/generated/runtime/v1/common.ts";
import {
  NamespaceMode,
  type NamespaceOption,
  type UserNamespace,
} from "../../cri-proto/generated/runtime/v1/security.ts";
import type { ContainerConfig } from "../pod/container-record.ts";
import type { SandboxConfig } from "../pod/sandbox-record.ts";
import type { IdMappings, IdRange } from "../shared/id-mappings.ts";
import { invalid, unsupported } from "./checks.ts";

/** What to do instead of sharing what only the node has. */
const INSTEAD = {
  network:
    "give the pod a host port (hostPort), or run it with a runtimeClass whose pods share the node's kernel",
  pid: "run it with a runtimeClass whose pods share the node's kernel",
  ipc: "share memory through an emptyDir of the pod, or run it with a runtimeClass whose pods share the node's kernel",
} as const;

/** Namespaces of a pod. Those of the node are out of reach from inside a VM. */
export function podNamespaces(options: NamespaceOption | undefined): SandboxConfig["namespaces"] {
  const mode = (kind: keyof typeof INSTEAD) => {
    const wanted = sharing(options?.[kind], kind);
    if (wanted === "target") throw invalid(`a sandbox's ${kind} namespace cannot be a container's`);
    return wanted;
  };
  return { network: mode("network"), pid: mode("pid"), ipc: mode("ipc") };
}

/** Namespaces of a container, of which those of the pod are shared by all that say so. */
export function containerNamespaces(
  options: NamespaceOption | undefined,
): ContainerConfig["security"]["namespaces"] {
  const ipc = sharing(options?.ipc, "ipc");
  if (ipc === "target") throw unsupported("sharing the IPC namespace of one other container");
  if (sharing(options?.network, "network") === "target") {
    throw unsupported("sharing the network namespace of one other container");
  }
  const pid = sharing(options?.pid, "pid");
  const targetId = options?.targetId ?? "";
  if (pid === "target" && targetId === "") throw invalid("pid mode TARGET without a target_id");
  return { pid, ipc, pidTarget: pid === "target" ? targetId : "" };
}

function sharing(mode: NamespaceMode | undefined, kind: keyof typeof INSTEAD) {
  switch (mode) {
    case undefined:
    case NamespaceMode.POD:
      return "pod" as const;
    case NamespaceMode.CONTAINER:
      return "container" as const;
    case NamespaceMode.TARGET:
      return "target" as const;
    case NamespaceMode.NODE:
      throw invalid(
        `the host's ${kind} namespace (mode NODE) is not possible: the pod is a VM of its own; ${INSTEAD[kind]}`,
      );
    default:
      throw invalid(`there is no namespace mode ${mode}`);
  }
}

/** The pod's user namespace; undefined = that of its guest, where ids are as they are. */
export function userNamespace(options: UserNamespace | undefined): IdMappings | undefined {
  if (options === undefined) return undefined;
  switch (options.mode) {
    case NamespaceMode.NODE:
      if (options.uids.length + options.gids.length > 0) {
        throw invalid("user namespace mode NODE has no id mappings");
      }
      return undefined;
    case NamespaceMode.POD:
      // Without mappings there is nothing to map.
      if (options.uids.length + options.gids.length === 0) return undefined;
      return {
        uids: idRange(options.uids, "userns_options.uids"),
        gids: idRange(options.gids, "userns_options.gids"),
      };
    default:
      throw invalid(`a user namespace cannot have mode ${options.mode}: only POD and NODE exist`);
  }
}

const MAX_IDS = 2 ** 32 - 1;

/** Exactly one range that begins with root, as every runtime wants it. */
export function idRange(mappings: readonly IDMapping[], what: string): IdRange {
  const [first, ...others] = mappings;
  if (first === undefined || others.length > 0) {
    throw invalid(`${what} has ${mappings.length} mappings; it must be one`);
  }
  const { containerId, hostId, length } = first;
  if (containerId !== 0) throw invalid(`${what} does not map id 0`);
  if (length === 0 || hostId + length > MAX_IDS) {
    throw invalid(`${what} maps ${length} ids from ${hostId}`);
  }
  return { hostId, length };
}
