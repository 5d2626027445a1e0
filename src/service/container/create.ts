// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import type {
  CreateContainer,
  Device,
  Isolation,
} from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { type Image, type Images, imageRef } from "../../image/images.ts";
import type { Container } from "../../pod/container.ts";
import type {
  ContainerConfig,
  ContainerMetadata,
  ContainerStatus,
} from "../../pod/container-record.ts";
import { removeFromGuest } from "../../pod/guest-container.ts";
import { now } from "../../pod/persisted.ts";
import { newId } from "../../pod/pods.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import { LightvmError } from "../../shared/errors.ts";
import type { AgentReply } from "../../toolstack/pod-vm.ts";
import type { NodeContext } from "../node-context.ts";
import { onFailure } from "../undo.ts";
import { agentProcess } from "./agent-process.ts";
import { agentResources } from "./agent-resources.ts";
import { guestCpuset } from "./cpu-limits.ts";
import { createUnikernel, refuseUnikernelImage } from "./create-unikernel.ts";
import { guestDevices } from "./devices.ts";
import { isolationOf } from "./isolation.ts";
import { type GuestMounts, guestMounts, type VolumeImage } from "./mounts.ts";
import { mergeProcess } from "./process.ts";
import { checkIds } from "./user-namespace.ts";

/** Mounting an image and checking its command in the guest, under emulation too. */
const CREATE_TIMEOUT_MS = 60_000;

/** CreateContainer: everything but the process. Returns the container's id. */
export async function createContainer(
  context: NodeContext,
  request: { readonly sandboxId: string; readonly config: ContainerConfig },
  signal: AbortSignal,
): Promise<string> {
  const { images, logger, pods } = context;
  const { config } = request;
  const sandbox = pods.getSandbox(request.sandboxId);
  const image = imageNamed(images, config.image.reference);
  if (sandbox.unikernel) return await createUnikernel(context, { sandbox, config, image }, signal);
  const vm = sandbox.requireVm();
  refuseUnikernelImage(image, config);
  guestCpuset(config.resources, sandbox.metadata.vm.vcpus);
  checkIds(sandbox.metadata.config.userNamespace, config);
  const volumeImages = config.imageMounts.map((mount) => ({
    mount,
    image: imageNamed(images, mount.image.reference),
  }));
  await using undo = new AsyncDisposableStack();
  const metadata = metadataOf(sandbox, config, image, volumeImages);
  const isolation = await isolationOf(sandbox, metadata);
  const container = pods.addContainer(sandbox, metadata);
  onFailure(undo, logger, "the container's record", () => pods.removeContainer(sandbox, container));
  const blockDeviceId = await vm.attachImage(image.erofsPath, signal);
  await vm.setContainerLog(container.id, container.metadata.logPath, config.terminal, signal);
  onFailure(undo, logger, "the container in the guest", () =>
    removeFromGuest(vm, container.id, new AbortController().signal),
  );
  const mounts = await guestMounts(vm, container, volumeImages, signal);
  const devices = await guestDevices(vm, container, signal);
  const parts = { blockDeviceId, devices, isolation, ...mounts };
  const value = guestContainer(container, sandbox, parts);
  const call = { $case: "createContainer", value } as const;
  const reply = await vm.call(call, { signal, timeoutMs: CREATE_TIMEOUT_MS });
  sandbox.requireVm();
  container.update({ created: true, ...userOf(reply) });
  undo.move();
  return container.id;
}

function imageNamed(images: Images, reference: string): Image {
  const image = images.get(reference);
  if (image !== undefined) return image;
  const message = `image "${reference}" is not on this node; pull it first`;
  throw new LightvmError("not-found", message);
}

function metadataOf(
  sandbox: Sandbox,
  config: ContainerConfig,
  image: Image,
  volumeImages: readonly VolumeImage[],
): ContainerMetadata {
  const { logDirectory, hostname } = sandbox.metadata.config;
  const logged = logDirectory !== "" && config.logPath !== "";
  return {
    id: newId(),
    sandboxId: sandbox.id,
    config,
    process: mergeProcess(config, image.config, hostname),
    imageId: image.id,
    imageRef: imageRef(image),
    volumeImages: volumeImages.map((volume) => ({
      id: volume.image.id,
      ref: imageRef(volume.image),
    })),
    logPath: logged ? join(logDirectory, config.logPath) : "",
    createdAt: now(),
  };
}

function guestContainer(
  container: Container,
  sandbox: Sandbox,
  parts: GuestMounts & {
    readonly blockDeviceId: number;
    readonly devices: Device[];
    readonly isolation: Isolation;
  },
): CreateContainer {
  const { config } = container.metadata;
  const { security } = config;
  return {
    containerId: container.id,
    root: { blockDeviceId: parts.blockDeviceId, readOnly: security.readOnlyRoot },
    process: agentProcess(container.metadata),
    mounts: parts.mounts,
    volumesDeviceId: parts.volumesDeviceId,
    resources: agentResources(config.resources, sandbox.metadata.vm),
    maskedPaths: security.privileged ? [] : security.maskedPaths,
    readonlyPaths: security.privileged ? [] : security.readOnlyPaths,
    privileged: security.privileged,
    hostname: sandbox.metadata.config.hostname,
    isolation: parts.isolation,
    devices: parts.devices,
  };
}

/** Who the guest has found the user to be. */
function userOf(reply: AgentReply): Pick<ContainerStatus, "user"> {
  if (reply.$case !== "containerCreated") return {};
  const { gid, groups, uid } = reply.value;
  return { user: { uid, gid, supplementalGroups: groups } };
}
