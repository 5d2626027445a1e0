// SPDX-License-Identifier: Apache-2.0

import type { ContainerStatus } from "../../cri-proto/generated/runtime/v1/container.ts";
import {
  type ContainerEventResponse,
  ContainerEventType,
} from "../../cri-proto/generated/runtime/v1/events.ts";
import type { PodEvent, PodEventKind } from "../pod/pod-events.ts";
import type { Sandbox } from "../pod/sandbox.ts";
import { containerStatusMessage } from "./container-response.ts";
import { podSandboxStatusMessage } from "./sandbox-response.ts";

const WIRE_TYPES: Record<PodEventKind, ContainerEventType> = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
};

/** One event, with the state of its pod as it is now. */
export function containerEvent({ at, id, kind, sandbox }: PodEvent): ContainerEventResponse {
  // Of a pod that is gone there is no state to tell.
  const gone = kind === "deleted" && id === sandbox.id;
  return {
    containerId: id,
    containerEventType: WIRE_TYPES[kind],
    createdAt: at,
    podSandboxStatus: gone ? undefined : podSandboxStatusMessage(sandbox),
    containersStatuses: gone ? [] : containerStatuses(sandbox),
  };
}

/** All containers of a sandbox that callers may know of. */
export function containerStatuses({ containers }: Sandbox): ContainerStatus[] {
  return [...containers.values()]
    .filter(({ state }) => state !== "creating")
    .map(containerStatusMessage);
}
