// SPDX-License-Identifier: Apache-2.0
import {
  MountPropagation,
  type Mount as WireMount,
} from "../../cri-proto/generated/runtime/v1/container.ts";
import type { ContainerMount } from "../pod/container-record.ts";
import { absolutePath, invalid, unsupported } from "./checks.ts";
import { idRange } from "./namespace-request.ts";

/** Options of a bind mount that a guest knows as well. */
const MOUNT_OPTIONS = new Set([
  ...["nosuid", "suid", "nodev", "dev", "noexec", "exec"],
  ...["noatime", "nodiratime", "relatime", "strictatime"],
]);

/** Checks one mount of a ContainerConfig. What a VM cannot carry is refused by name. */
export function containerMount(mount: WireMount): ContainerMount {
  const containerPath = absolutePath(mount.containerPath, "container_path");
  const what = `the volume at "${containerPath}"`;
  if (containerPath === "/") throw invalid('a volume at "/" would hide the whole image');
  if (mount.image !== undefined) {
    throw unsupported(`${what} from image "${mount.image.image}": images cannot be mounted yet`);
  }
  const unknown = mount.mountOptions.find((option) => !MOUNT_OPTIONS.has(option));
  if (unknown !== undefined) throw unsupported(`${what} asks for mount option "${unknown}"`);
  const followsHost = propagation(mount, what);
  if (mount.recursiveReadOnly && (!mount.readonly || followsHost)) {
    throw invalid(`${what} is recursive_read_only, which takes readonly and PROPAGATION_PRIVATE`);
  }
  return {
    containerPath,
    hostPath: absolutePath(mount.hostPath, `host_path of ${what}`),
    readOnly: mount.readonly,
    recursiveReadOnly: mount.recursiveReadOnly,
    followsHost,
    options: mount.mountOptions,
    ...idMappings(mount, what),
  };
}

/** Whether they are the pod's own, which is all that they may be, is known to the service. */
function idMappings(
  { uidMappings, gidMappings }: WireMount,
  what: string,
): Pick<ContainerMount, "idMappings"> {
  if (uidMappings.length + gidMappings.length === 0) return {};
  return {
    idMappings: {
      uids: idRange(uidMappings, `uid_mappings of ${what}`),
      gids: idRange(gidMappings, `gid_mappings of ${what}`),
    },
  };
}

function propagation(mount: WireMount, what: string): boolean {
  switch (mount.propagation) {
    case MountPropagation.PROPAGATION_PRIVATE:
      return false;
    case MountPropagation.PROPAGATION_HOST_TO_CONTAINER:
      return true;
    case MountPropagation.PROPAGATION_BIDIRECTIONAL:
      throw unsupported(
        `${what} asks for bidirectional mount propagation: a pod has a kernel of its own, and what it mounts cannot be seen by the node`,
      );
    default:
      throw invalid(`there is no mount propagation ${mount.propagation}`);
  }
}
