// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { idMappingsSchema } from "../shared/id-mappings.ts";
import { nanoseconds, stringMap } from "./persisted.ts";

/** Limits of a container; 0 or empty = not said. */
export const containerResourcesSchema = z.object({
  cpuShares: z.number(),
  /** Less than 0 = no limit, said aloud. */
  cpuQuotaMicroseconds: z.number(),
  cpuPeriodMicroseconds: z.number(),
  memoryLimitBytes: z.number(),
  memorySwapLimitBytes: z.number(),
  oomScoreAdjust: z.number(),
  cpusetCpus: z.string(),
  cpusetMems: z.string(),
  /** Page size ("2MB") → bytes. */
  hugepageLimits: z.record(z.string(), z.number()),
  /** A file of the container's cgroup → its content. */
  unified: stringMap,
});
export type ContainerResources = Readonly<z.output<typeof containerResourcesSchema>>;

/** A host path that a container sees. */
export const containerMountSchema = z.object({
  /** Both absolute and normal. */
  containerPath: z.string(),
  hostPath: z.string(),
  readOnly: z.boolean(),
  /** What is mounted below the host path is read-only too. */
  recursiveReadOnly: z.boolean(),
  /** The container sees what the host mounts below it later. */
  followsHost: z.boolean(),
  /** Further options of the bind mount: "nosuid", … */
  options: z.array(z.string()),
  /** Its files belong in the pod to whom they belong on the host; absent = in the guest. */
  idMappings: idMappingsSchema.optional(),
});
export type ContainerMount = Readonly<z.output<typeof containerMountSchema>>;

/** An image as a request named it, returned as it came. */
const requestedImageSchema = z.object({
  reference: z.string(),
  annotations: stringMap,
  userSpecifiedImage: z.string(),
  runtimeHandler: z.string(),
});

/** An image that a container sees as a volume, always read-only. */
export const imageMountSchema = z.object({
  /** Absolute and normal. */
  containerPath: z.string(),
  image: requestedImageSchema,
  /** A file or directory of it; "" = all. */
  subPath: z.string(),
  /** Further options of the mount, as for a host path. */
  options: z.array(z.string()),
  idMappings: idMappingsSchema.optional(),
});
export type ImageMount = Readonly<z.output<typeof imageMountSchema>>;

/** A device of the host that a container has. */
export const containerDeviceSchema = z.object({
  /** Both absolute and normal. */
  containerPath: z.string(),
  hostPath: z.string(),
  /** Otherwise it can only be read. */
  writable: z.boolean(),
});
export type ContainerDevice = Readonly<z.output<typeof containerDeviceSchema>>;

/** What a container was asked to be. Never changes. */
export const containerConfigSchema = z.object({
  name: z.string(),
  attempt: z.number().int(),
  image: requestedImageSchema,
  /** Instead of the image's entrypoint and command; empty = not said. */
  command: z.array(z.string()),
  args: z.array(z.string()),
  /** "" = the image's. */
  workingDirectory: z.string(),
  /** "NAME=value", after the image's own. */
  environment: z.array(z.string()),
  mounts: z.array(containerMountSchema),
  imageMounts: z.array(imageMountSchema).default([]),
  devices: z.array(containerDeviceSchema).default([]),
  labels: stringMap,
  annotations: stringMap,
  /** Relative to the sandbox's log directory; "" = no log. */
  logPath: z.string(),
  terminal: z.boolean(),
  stdin: z.boolean(),
  /** stdin ends with the first client that has given it some. */
  stdinOnce: z.boolean().default(false),
  /** A signal's name, "SIGTERM"; "" = the image's. */
  stopSignal: z.string(),
  resources: containerResourcesSchema,
  security: z.object({
    privileged: z.boolean(),
    /** "uid", "uid:gid", "name", "name:gid"; "" = the image's user. */
    user: z.string(),
    supplementalGroups: z.array(z.number()),
    strictSupplementalGroups: z.boolean(),
    addCapabilities: z.array(z.string()),
    dropCapabilities: z.array(z.string()),
    ambientCapabilities: z.array(z.string()).default([]),
    noNewPrivileges: z.boolean(),
    readOnlyRoot: z.boolean(),
    maskedPaths: z.array(z.string()),
    readOnlyPaths: z.array(z.string()),
    seccomp: z
      .discriminatedUnion("kind", [
        z.object({ kind: z.literal("unconfined") }),
        z.object({ kind: z.literal("runtime-default") }),
        /** A profile of the node; absolute. */
        z.object({ kind: z.literal("localhost"), path: z.string() }),
      ])
      .default({ kind: "unconfined" }),
    namespaces: z
      .object({
        pid: z.enum(["pod", "container", "target"]),
        ipc: z.enum(["pod", "container"]),
        /** Id of the container whose processes are seen; "" unless pid is "target". */
        pidTarget: z.string(),
      })
      .default({ pid: "container", ipc: "pod", pidTarget: "" }),
    /** What the request says of the pod's user namespace, none included; absent = nothing. */
    userNamespace: z.object({ idMappings: idMappingsSchema.optional() }).optional(),
  }),
});
export type ContainerConfig = Readonly<z.output<typeof containerConfigSchema>>;

/** The process as it runs: image configuration and request merged. An exec starts from it too. */
export const containerProcessSchema = z.object({
  arguments: z.array(z.string()),
  environment: z.array(z.string()),
  workingDirectory: z.string(),
  user: z.string(),
  capabilities: z.array(z.string()),
  /** Linux number of the signal that asks the process to end. */
  stopSignal: z.number().int(),
});
export type ContainerProcess = Readonly<z.output<typeof containerProcessSchema>>;

/** Everything about a container that is known before it exists, and never changes. */
export const containerMetadataSchema = z.object({
  id: z.string(),
  sandboxId: z.string(),
  config: containerConfigSchema,
  process: containerProcessSchema,
  /** "sha256:…", and the same image by digest. */
  imageId: z.string(),
  imageRef: z.string(),
  /** The same of each of `config.imageMounts`. */
  volumeImages: z.array(z.object({ id: z.string(), ref: z.string() })).default([]),
  /** Instead of a process: what is booted. */
  unikernel: z
    .object({
      /** File of the image store. */
      kernel: z.string(),
      commandLine: z.string(),
      memoryBytes: z.number(),
      signOfLife: z.enum(["sysctl", "none"]),
      network: z.enum(["virtio", "none"]),
    })
    .optional(),
  /** Absolute; "" = output is dropped. */
  logPath: z.string(),
  createdAt: nanoseconds,
});
export type ContainerMetadata = Readonly<z.output<typeof containerMetadataSchema>>;

/**
 * What has happened to a container so far. Facts only; its state follows from them:
 *
 *             created             startedAt             exit
 *   creating ─────────► created ────────────► running ────────► exited
 *      │                   │ the start failed: exit without startedAt  ▲
 *      │                   └───────────────────────────────────────────┘
 *      └──► (record deleted: failed, or lightvmd died)      removing: from every state
 */
export const containerStatusSchema = z.object({
  version: z.literal(1),
  /** CreateContainer has come to its end; before that nobody is told of the container. */
  created: z.boolean(),
  /** Who the first process is, as the guest resolved it in the image. */
  user: z
    .object({ uid: z.number(), gid: z.number(), supplementalGroups: z.array(z.number()) })
    .optional(),
  /** StartContainer has been sent to the guest, which may or may not have seen it. */
  starting: z.boolean(),
  startedAt: nanoseconds.optional(),
  exit: z
    .object({
      at: nanoseconds,
      /** 0..255; 128 + signal; 255 when the VM ended before the container did. */
      code: z.number().int(),
      /** "Completed", "Error", "OOMKilled", "StartError". */
      reason: z.string(),
      message: z.string(),
    })
    .optional(),
  /** The limits since the last UpdateContainerResources, whole. */
  resources: containerResourcesSchema.optional(),
  /** RemoveContainer has begun and will be finished, if need be by the next lightvmd. */
  removing: z.boolean(),
});
export type ContainerStatus = Readonly<z.output<typeof containerStatusSchema>>;
export type ContainerExit = NonNullable<ContainerStatus["exit"]>;

export const NEW_CONTAINER: ContainerStatus = {
  version: 1,
  created: false,
  starting: false,
  removing: false,
};

/** The name that no two containers of a sandbox may share. */
export function containerName({ name, attempt }: ContainerConfig): string {
  return `${name}_${attempt}`;
}
