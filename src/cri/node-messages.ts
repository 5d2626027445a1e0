// SPDX-License-Identifier: Apache-2.0
import {
  CgroupDriver,
  type RuntimeConfigResponse,
  type RuntimeHandlerFeatures,
  type StatusResponse,
  type VersionResponse,
} from "../../cri-proto/generated/runtime/v1/node.ts";
import { cgroupDriver } from "../service/node/runtime-config.ts";
import { isForUnikernels, RUNTIME_HANDLERS } from "../service/node/runtime-handlers.ts";
import type { Condition } from "../service/node/status.ts";
import { runtimeVersion } from "../service/node/version.ts";

/** Version of the VersionResponse message, which never changed. */
const KUBELET_API_VERSION = "0.1.0";
const RUNTIME_API_VERSION = "v1";

export function versionMessage(): VersionResponse {
  const { name, version } = runtimeVersion();
  return {
    version: KUBELET_API_VERSION,
    runtimeName: name,
    runtimeVersion: version,
    runtimeApiVersion: RUNTIME_API_VERSION,
  };
}

export function statusMessage(
  conditions: readonly Condition[],
  info: Record<string, string>,
): StatusResponse {
  return {
    status: { conditions: [...conditions] },
    info,
    runtimeHandlers: RUNTIME_HANDLERS.map((name) => ({ name, features: handlerFeatures(name) })),
    features: {
      supplementalGroupsPolicy: true,
      userNamespacesHostNetwork: false,
      mountOptions: true,
    },
  };
}

/** A unikernel has neither volumes nor users. */
function handlerFeatures(name: string): RuntimeHandlerFeatures {
  const guest = !isForUnikernels({ runtimeHandler: name, annotations: {} });
  return { recursiveReadOnlyMounts: guest, userNamespaces: guest };
}

export function runtimeConfigMessage(): RuntimeConfigResponse {
  const driver = cgroupDriver() === "systemd" ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS;
  return { linux: { cgroupDriver: driver } };
}
