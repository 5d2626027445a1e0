// SPDX-License-Identifier: Apache-2.0
import {
  CgroupDriver,
  type RuntimeConfigResponse,
  type StatusResponse,
  type VersionResponse,
} from "../../cri-proto/generated/runtime/v1/node.ts";
import { cgroupDriver } from "../service/node/runtime-config.ts";
import { RUNTIME_HANDLERS } from "../service/node/runtime-handlers.ts";
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
    runtimeHandlers: RUNTIME_HANDLERS.map((name) => ({
      name,
      features: { recursiveReadOnlyMounts: true, userNamespaces: true },
    })),
    features: {
      supplementalGroupsPolicy: true,
      userNamespacesHostNetwork: false,
      mountOptions: true,
    },
  };
}

export function runtimeConfigMessage(): RuntimeConfigResponse {
  const driver = cgroupDriver() === "systemd" ? CgroupDriver.SYSTEMD : CgroupDriver.CGROUPFS;
  return { linux: { cgroupDriver: driver } };
}
