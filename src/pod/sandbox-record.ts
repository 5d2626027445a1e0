// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { idMappingsSchema } from "../shared/id-mappings.ts";
import { nanoseconds, stringMap } from "./persisted.ts";

/** Whose namespace the containers of a pod see; the node's is out of reach from inside a VM. */
const namespace = z.enum(["pod", "container"]);

/** What a sandbox was asked to be. Never changes. */
export const sandboxConfigSchema = z.object({
  /** The pod's name, uid and namespace in Kubernetes. */
  name: z.string(),
  uid: z.string(),
  namespace: z.string(),
  /** How many sandboxes this pod has had before. */
  attempt: z.number().int(),
  hostname: z.string(),
  /** Absolute; "" = containers keep no logs. */
  logDirectory: z.string(),
  dns: z.object({
    servers: z.array(z.string()),
    searches: z.array(z.string()),
    options: z.array(z.string()),
  }),
  /** Ports of the node that lead to the pod's. */
  portMappings: z
    .array(
      z.object({
        hostPort: z.number().int(),
        containerPort: z.number().int(),
        protocol: z.enum(["tcp", "udp", "sctp"]),
        hostIP: z.string(),
      }),
    )
    .default([]),
  sysctls: stringMap,
  labels: stringMap,
  annotations: stringMap,
  runtimeHandler: z.string(),
  namespaces: z.object({ network: namespace, pid: namespace, ipc: namespace }),
  /** Absent = ids in the pod are those of its guest. */
  userNamespace: idMappingsSchema.optional(),
  /** Sum over the containers; 0 = not said. */
  resources: z.object({
    /** Of CPU time when it is short; 1024 is a whole CPU. */
    cpuShares: z.number().default(0),
    cpuQuotaMicroseconds: z.number(),
    cpuPeriodMicroseconds: z.number(),
    memoryLimitBytes: z.number(),
    /** What the pod's RuntimeClass adds for the VM itself. */
    overheadMemoryBytes: z.number(),
  }),
});
export type SandboxConfig = Readonly<z.output<typeof sandboxConfigSchema>>;

/** Everything about a sandbox that is known before it exists, and never changes. */
export const sandboxMetadataSchema = z.object({
  id: z.string(),
  config: sandboxConfigSchema,
  vm: z.object({
    name: z.string(),
    vcpus: z.number(),
    memoryBytes: z.number(),
    /** It boots the kernel of its container's image, not ours. */
    unikernel: z.boolean().optional(),
  }),
  createdAt: nanoseconds,
});
export type SandboxMetadata = Readonly<z.output<typeof sandboxMetadataSchema>>;

/**
 * What has happened to a sandbox so far. Facts only; its state follows from them:
 *
 *                readyAt                end                    removing
 *   creating ──────────────► ready ────────────► not ready ──────────────► (record deleted)
 *      │ failed, or lightvmd died          removing: from every state
 *      ├──► (record deleted)
 *      │ end: nor could that be done yet
 *      └──► not ready
 */
export const sandboxStatusSchema = z.object({
  version: z.literal(1),
  /** Its VM has booted and RunPodSandbox may answer. */
  readyAt: nanoseconds.optional(),
  /** Its addresses in the pod network, the first one first. */
  addresses: z.array(z.string()).optional(),
  /** Its VM is gone for good. */
  end: z.object({ at: nanoseconds, message: z.string() }).optional(),
  /** RemovePodSandbox has begun and will be finished, if need be by the next lightvmd. */
  removing: z.boolean(),
});
export type SandboxStatus = Readonly<z.output<typeof sandboxStatusSchema>>;

export const NEW_SANDBOX: SandboxStatus = { version: 1, removing: false };

/** The name that no two sandboxes may share. */
export function sandboxName({ name, namespace, uid, attempt }: SandboxConfig): string {
  return [name, namespace, uid, attempt].join("_");
}
