// SPDX-License-Identifier: Apache-2.0
import type { ContainerConfig } from "../../pod/container-record.ts";
import { LightvmError } from "../../shared/errors.ts";
import { type IdMappings, idsText, sameIds } from "../../shared/id-mappings.ts";

/** Throws "invalid-argument" when a container or a volume of it shall have other ids than its pod. */
export function checkIds(pod: IdMappings | undefined, config: ContainerConfig): void {
  const refuse = (what: string, ids: IdMappings | undefined) => {
    const message = `${what} maps ${idsText(ids)}, and the pod's user namespace ${idsText(pod)}`;
    throw new LightvmError("invalid-argument", message);
  };
  const { userNamespace } = config.security;
  if (userNamespace !== undefined && !sameIds(userNamespace.idMappings, pod)) {
    refuse("userns_options of the container", userNamespace.idMappings);
  }
  for (const { containerPath, idMappings } of [...config.mounts, ...config.imageMounts]) {
    // Without any its owners are the host's, most of whom the pod's namespace does not know: nobody's.
    if (idMappings !== undefined && !sameIds(idMappings, pod)) {
      refuse(`the volume at "${containerPath}"`, idMappings);
    }
  }
}
