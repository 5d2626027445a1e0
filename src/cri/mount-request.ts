// SPDX-License-Identifier: Apache-2.0
import type { ImageSpec } from "../../cri-proto/generated/runtime/v1/common.ts";
import {
  MountPropagation,
  type Mount as WireMount,
} from "../../cri-proto/generated/runtime/v1/container.ts";
import type { ContainerMount, ImageMount } from "../pod/container-record.ts";
import { absolutePath, invalid, oneLine, unsupported } from "./checks.ts";
import { idRange } from "./namespace-request.ts";

/** Options of a bind mount that a guest knows as well. */
const MOUNT_OPTIONS = new Set([
  ...["nosuid", "suid", "nodev", "dev", "noexec", "exec"],
  ...["noatime", "nodiratime", "relatime", "strictatime"],
]);

/** Checks a mount of a ContainerConfig that is a host path. What a VM cannot carry is refused by name. */
export function containerMount(mount: WireMount): ContainerMount {
  const { followsHost, place, what } = checkPlace(mount);
  return {
    ...place,
    hostPath: absolutePath(mount.hostPath, `host_path of ${what}`),
    readOnly: mount.readonly,
    recursiveReadOnly: mount.recursiveReadOnly,
    followsHost,
  };
}

/** Checks a mount of a ContainerConfig that is an image. It is read-only whatever the request says. */
export function imageMount(mount: WireMount, image: ImageSpec): ImageMount {
  const { place, what } = checkPlace(mount);
  if (mount.hostPath !== "") throw invalid(`${what} has both a host_path and an image`);
  if (image.image === "") throw invalid(`the image of ${what} is empty`);
  return {
    ...place,
    image: requestedImage(image),
    subPath: oneLine(mount.imageSubPath, `image_sub_path of ${what}`),
  };
}

/** An image as a request names it. */
export function requestedImage(image: ImageSpec): ImageMount["image"] {
  return {
    reference: image.image,
    annotations: image.annotations,
    userSpecifiedImage: image.userSpecifiedImage,
    runtimeHandler: image.runtimeHandler,
  };
}

/** What any mount says of its place, whether it follows the host, and what to call it. */
function checkPlace(mount: WireMount) {
  const containerPath = absolutePath(mount.containerPath, "container_path");
  const what = `the volume at "${containerPath}"`;
  if (containerPath === "/") throw invalid('a volume at "/" would hide the whole image');
  const options = mount.mountOptions;
  const unknown = options.find((option) => !MOUNT_OPTIONS.has(option));
  if (unknown !== undefined) throw unsupported(`${what} asks for mount option "${unknown}"`);
  const followsHost = propagation(mount, what);
  if (mount.recursiveReadOnly && (!mount.readonly || followsHost)) {
    throw invalid(`${what} is recursive_read_only, which takes readonly and PROPAGATION_PRIVATE`);
  }
  return { place: { containerPath, options, ...idMappings(mount, what) }, followsHost, what };
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
