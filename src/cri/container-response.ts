// SPDX-License-Identifier: Apache-2.0
import type { IDMapping, ImageSpec } from "../../cri-proto/generated/runtime/v1/common.ts";
import {
  MountPropagation,
  type Container as WireContainer,
  type ContainerFilter as WireFilter,
  Mount as WireMount,
  ContainerState as WireState,
  type ContainerStatus as WireStatus,
} from "../../cri-proto/generated/runtime/v1/container.ts";
import type { ContainerResources } from "../../cri-proto/generated/runtime/v1/resources.ts";
import type { ContainerUser } from "../../cri-proto/generated/runtime/v1/security.ts";
import type { Container, ContainerState } from "../pod/container.ts";
import type { ContainerMount, ImageMount } from "../pod/container-record.ts";
import type { ContainerFilter } from "../service/container/list.ts";
import type { IdRange } from "../shared/id-mappings.ts";
import { wireSignal } from "./signal-names.ts";

const WIRE_STATES: Record<ContainerState, WireState> = {
  creating: WireState.CONTAINER_UNKNOWN,
  created: WireState.CONTAINER_CREATED,
  running: WireState.CONTAINER_RUNNING,
  exited: WireState.CONTAINER_EXITED,
};

/** A container in a list. */
export function containerMessage(container: Container): WireContainer {
  const { config, createdAt, id, imageId, imageRef, sandboxId } = container.metadata;
  return {
    id,
    podSandboxId: sandboxId,
    metadata: { name: config.name, attempt: config.attempt },
    image: imageSpec(config.image),
    imageRef,
    state: WIRE_STATES[container.state],
    createdAt,
    labels: config.labels,
    annotations: config.annotations,
    imageId,
  };
}

/** All about a container. */
export function containerStatusMessage(container: Container): WireStatus {
  const { config, createdAt, id, imageId, imageRef, logPath, process, volumeImages } =
    container.metadata;
  const { exit, startedAt } = container.status;
  return {
    id,
    metadata: { name: config.name, attempt: config.attempt },
    state: WIRE_STATES[container.state],
    createdAt,
    startedAt: startedAt ?? 0n,
    finishedAt: exit?.at ?? 0n,
    exitCode: exit?.code ?? 0,
    image: imageSpec(config.image),
    imageRef,
    reason: exit?.reason ?? "",
    message: exit?.message ?? "",
    labels: config.labels,
    annotations: config.annotations,
    mounts: [
      ...config.mounts.map(mountMessage),
      ...config.imageMounts.map((mount, index) =>
        imageMountMessage(mount, volumeImages[index]?.ref ?? ""),
      ),
    ],
    logPath,
    resources: resources(container),
    imageId,
    user: userMessage(container),
    stopSignal: wireSignal(process.stopSignal),
  };
}

function mountMessage(mount: ContainerMount): WireMount {
  return {
    containerPath: mount.containerPath,
    hostPath: mount.hostPath,
    readonly: mount.readOnly,
    selinuxRelabel: false,
    propagation: mount.followsHost
      ? MountPropagation.PROPAGATION_HOST_TO_CONTAINER
      : MountPropagation.PROPAGATION_PRIVATE,
    uidMappings: wireIds(mount.idMappings?.uids),
    gidMappings: wireIds(mount.idMappings?.gids),
    recursiveReadOnly: mount.recursiveReadOnly,
    image: undefined,
    imageSubPath: "",
    mountOptions: mount.options,
  };
}

function imageMountMessage(mount: ImageMount, imageRef: string): WireMount {
  return WireMount.fromPartial({
    containerPath: mount.containerPath,
    readonly: true,
    uidMappings: wireIds(mount.idMappings?.uids),
    gidMappings: wireIds(mount.idMappings?.gids),
    image: imageSpec(mount.image, imageRef),
    imageSubPath: mount.subPath,
    mountOptions: mount.options,
  });
}

function wireIds(range: IdRange | undefined): IDMapping[] {
  return range === undefined ? [] : [{ ...range, containerId: 0 }];
}

/** What ListContainers shall match. */
export function containerFilter(filter: WireFilter | undefined): ContainerFilter {
  const state = filter?.state?.state;
  return {
    id: filter?.id ?? "",
    sandboxId: filter?.podSandboxId ?? "",
    state: state === undefined ? undefined : domainState(state),
    labels: filter?.labelSelector ?? {},
  };
}

function domainState(state: WireState): ContainerState {
  const states = Object.entries(WIRE_STATES) as [ContainerState, WireState][];
  return states.find(([, wire]) => wire === state)?.[0] ?? "creating";
}

function imageSpec(requested: ImageMount["image"], imageRef: string = ""): ImageSpec {
  const { annotations, reference, runtimeHandler, userSpecifiedImage } = requested;
  return { image: reference, annotations, userSpecifiedImage, runtimeHandler, imageRef };
}

function userMessage({ status: { user } }: Container): ContainerUser | undefined {
  if (user === undefined) return undefined;
  const { gid, supplementalGroups, uid } = user;
  return {
    linux: {
      uid: BigInt(uid),
      gid: BigInt(gid),
      supplementalGroups: supplementalGroups.map(BigInt),
    },
  };
}

function resources({ resources: limits }: Container): ContainerResources {
  return {
    linux: {
      cpuPeriod: BigInt(limits.cpuPeriodMicroseconds),
      cpuQuota: BigInt(limits.cpuQuotaMicroseconds),
      cpuShares: BigInt(limits.cpuShares),
      memoryLimitInBytes: BigInt(limits.memoryLimitBytes),
      memorySwapLimitInBytes: BigInt(limits.memorySwapLimitBytes),
      oomScoreAdj: BigInt(limits.oomScoreAdjust),
      cpusetCpus: limits.cpusetCpus,
      cpusetMems: limits.cpusetMems,
      hugepageLimits: Object.entries(limits.hugepageLimits).map(([pageSize, limit]) => ({
        pageSize,
        limit: BigInt(limit),
      })),
      unified: limits.unified,
    },
    windows: undefined,
  };
}
