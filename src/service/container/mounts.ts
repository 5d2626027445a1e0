// SPDX-License-Identifier: Apache-2.0
import { stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Mount } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { Image } from "../../image/images.ts";
import type { Container } from "../../pod/container.ts";
import type { ContainerMount, ImageMount } from "../../pod/container-record.ts";
import { LightvmError } from "../../shared/errors.ts";
import type { IdRange } from "../../shared/id-mappings.ts";
import { makeDirectories } from "../../shared/make-directories.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";

/** statfs(2): TMPFS_MAGIC. */
const TMPFS = 0x01021994;
/** statfs(2): HUGETLBFS_MAGIC. */
const HUGETLBFS = 0x958458f6;
/** Where kubelet keeps an emptyDir; with "medium: Memory" it has mounted a tmpfs there. */
const EMPTY_DIRECTORY = /\/volumes\/kubernetes\.io~empty-dir\/([^/]+)$/;

/** Whom the kernel shows as the owner when it has no other: fs.overflowuid of proc_sys_fs(5). */
const NOBODY = 65_534;

/** What the agent is told about a container's volumes. */
export interface GuestMounts {
  readonly mounts: Mount[];
  /** 0 = the container needs none of the node's. */
  readonly volumesDeviceId: number;
}

/** An image that a container has as a volume. */
export interface VolumeImage {
  readonly mount: ImageMount;
  readonly image: Image;
}

/**
 * Makes a container's volumes reachable for its guest. What is above another in the file system comes
 * first, whatever the order in the request.
 */
export async function guestMounts(
  vm: PodVm,
  container: Container,
  images: readonly VolumeImage[],
  signal: AbortSignal,
): Promise<GuestMounts> {
  const fromImages = await Promise.all(images.map((image) => imageVolume(vm, image, signal)));
  const { mounts, volumesDeviceId } = await hostMounts(vm, container, signal);
  const all = [...mounts, ...fromImages].sort((a, b) => depth(a) - depth(b));
  return { mounts: all, volumesDeviceId };
}

/** Image volumes hold no programs, as Kubernetes documents them. */
async function imageVolume(
  vm: PodVm,
  { image, mount }: VolumeImage,
  signal: AbortSignal,
): Promise<Mount> {
  return {
    destination: mount.containerPath,
    type: "image",
    source: mount.subPath,
    options: ["nosuid", "noexec", ...mount.options, "nodev", "ro"],
    blockDeviceId: await vm.attachImage(image.erofsPath, signal),
  };
}

async function hostMounts(
  vm: PodVm,
  container: Container,
  signal: AbortSignal,
): Promise<GuestMounts> {
  const wanted = container.metadata.config.mounts;
  const memory = await Promise.all(wanted.map(memoryVolume));
  const served = wanted.filter((_, index) => memory[index] === undefined);
  for (const { hostPath } of served) {
    await makeMissing(hostPath);
    await refuseHugePages(hostPath);
  }
  const volumes = served.map((mount) => ({
    hostPath: mount.hostPath,
    readOnly: mount.readOnly,
    recursively: mount.recursiveReadOnly,
    followHost: mount.followsHost,
    idMappings: mount.idMappings,
  }));
  if (volumes.length === 0) return { mounts: memory.filter(isMount), volumesDeviceId: 0 };
  const attached = await vm.attachVolumes(container.id, volumes, signal);
  const mounts = wanted.map((mount, index) => {
    const number = served.indexOf(mount);
    const source = attached.names[number] ?? "";
    return memory[index] ?? nodeVolume(mount, source, attached.withMounts[number] ?? true);
  });
  return { mounts, volumesDeviceId: attached.deviceId };
}

/** A volume of the node's. That it is read-only is enforced there; the guest shows it where it may. */
function nodeVolume(mount: ContainerMount, source: string, withMounts: boolean): Mount {
  // To a guest, mounts of the host below a volume are directories: "ro" would be theirs too.
  const whole = mount.recursiveReadOnly || !(withMounts || mount.followsHost);
  const readOnly = mount.readOnly && whole ? ["ro"] : [];
  const options = [...mount.options, ...readOnly];
  return { destination: mount.containerPath, type: "volume", source, options, blockDeviceId: 0 };
}

/** An emptyDir in memory is the guest's memory: a tmpfs in the guest, as large as kubelet's. */
async function memoryVolume(mount: ContainerMount): Promise<Mount | undefined> {
  const name = EMPTY_DIRECTORY.exec(mount.hostPath)?.[1];
  const size = name === undefined ? undefined : await tmpfsSize(mount.hostPath);
  if (name === undefined || size === undefined) return undefined;
  const root = await stat(mount.hostPath);
  const permissions = (root.mode & 0o7777).toString(8);
  const uid = seenAs(root.uid, mount.idMappings?.uids);
  const gid = seenAs(root.gid, mount.idMappings?.gids);
  const shared = [`size=${size}`, `mode=${permissions}`, `uid=${uid}`, `gid=${gid}`];
  const options = [...shared, ...mount.options, ...(mount.readOnly ? ["ro"] : [])];
  const destination = mount.containerPath;
  return { destination, type: "memory", source: name, options, blockDeviceId: 0 };
}

/** What an id of the host's is in the guest of a pod whose user namespace has this range. */
function seenAs(id: number, range: IdRange | undefined): number {
  if (range === undefined) return id;
  return id < range.length ? range.hostId + id : NOBODY;
}

/** The size of the tmpfs that is mounted on a directory; undefined when none is. */
async function tmpfsSize(path: string): Promise<number | undefined> {
  try {
    const { type, blocks, bsize } = await statfs(path);
    const mounted = (await stat(path)).dev !== (await stat(dirname(path))).dev;
    return type === TMPFS && mounted ? blocks * bsize : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw unusable(path, error);
  }
}

/** A host path that is not there becomes a directory, as with other runtimes. */
async function makeMissing(hostPath: string): Promise<void> {
  try {
    await stat(hostPath);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw unusable(hostPath, error);
    try {
      await makeDirectories(hostPath, 0o755);
    } catch (cause) {
      throw unusable(hostPath, cause);
    }
  }
}

/** Its pages are the node's and cannot be the VM's: what is mapped there would be copies of them. */
async function refuseHugePages(hostPath: string): Promise<void> {
  let type: number;
  try {
    ({ type } = await statfs(hostPath));
  } catch (error) {
    throw unusable(hostPath, error);
  }
  if (type !== HUGETLBFS) return;
  throw new LightvmError(
    "unimplemented",
    `host path "${hostPath}" is a hugetlbfs, such as an emptyDir with "medium: HugePages": a pod's VM ` +
      'has no huge pages; use "medium: Memory", or run the pod with another runtime class',
  );
}

function unusable(hostPath: string, cause: unknown): LightvmError {
  return new LightvmError("failed-precondition", `host path "${hostPath}" cannot be mounted`, {
    cause,
  });
}

function isMount(mount: Mount | undefined): mount is Mount {
  return mount !== undefined;
}

function depth({ destination }: Mount): number {
  return destination.split("/").length;
}
