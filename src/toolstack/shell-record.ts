// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import type { ProcessIdentity } from "../vmm/process-identity.ts";
import type { Flavor } from "./flavor.ts";
import type { DiskRecord } from "./pod-devices.ts";
import type { PodVmEnd } from "./pod-vm.ts";

/** How far a shell has come before its pod is known. */
export const SHELL_LEVELS = ["prepared", "loaded", "booted"] as const;
export type ShellLevel = (typeof SHELL_LEVELS)[number];

const recordSchema = z.object({
  flavor: z.object({ vcpus: z.number(), memoryBytes: z.number(), deviceSlots: z.number() }),
  /** What it is made from; see recipe.ts. */
  recipe: z.string(),
  /** uid and gid of the VMM process. */
  uid: z.number(),
  /** Set as soon as the process has been started, */
  vmm: z.object({ pid: z.number(), startTime: z.string() }).optional(),
  /** once the domain has been built, */
  domid: z.number().optional(),
  /** once it waits for a pod, */
  level: z.enum(SHELL_LEVELS).optional(),
  /** once a pod has taken it, */
  pod: z.object({ id: z.string(), name: z.string() }).optional(),
  /** and once the VM has ended. */
  end: z
    .object({
      reason: z.union([z.number(), z.string()]),
      message: z.string(),
      at: z.coerce.bigint(),
    })
    .optional(),
  /** Image file → noxs device id. */
  images: z.record(z.string(), z.number()).default({}),
  /** Block devices of the host that the guest has. */
  disks: z
    .array(
      z.object({
        host: z.string(),
        writable: z.boolean(),
        deviceId: z.number(),
        containers: z.array(z.string()),
      }),
    )
    .default([]),
  /** The process that serves the pod's volumes, */
  fileServer: z.object({ pid: z.number(), startTime: z.string() }).optional(),
  /** and the noxs device that the guest sees of it. */
  volumesDevice: z.number().optional(),
});

/** What is written down of a shell, and of the VM that it becomes, for the next lightvmd. */
export interface ShellRecord {
  readonly flavor: Flavor;
  readonly recipe: string;
  readonly uid: number;
  readonly vmm?: ProcessIdentity;
  readonly domid?: number;
  readonly level?: ShellLevel;
  readonly pod?: { readonly id: string; readonly name: string };
  readonly end?: PodVmEnd;
  readonly images: Readonly<Record<string, number>>;
  readonly disks: readonly DiskRecord[];
  readonly fileServer?: ProcessIdentity;
  readonly volumesDevice?: number;
}

export function formatRecord({ end, ...rest }: ShellRecord): string {
  const file = { ...rest, ...(end === undefined ? {} : { end: { ...end, at: String(end.at) } }) };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}

/** undefined for anything that is not a whole record. */
export function parseRecord(text: string): ShellRecord | undefined {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    // The machine lost power in the middle of the write: as good as no record.
    return undefined;
  }
  const parsed = recordSchema.safeParse(document);
  if (!parsed.success) return undefined;
  const { vmm, domid, level, pod, end, fileServer, volumesDevice, ...rest } = parsed.data;
  return {
    ...rest,
    ...(vmm === undefined ? {} : { vmm }),
    ...(fileServer === undefined ? {} : { fileServer }),
    ...(volumesDevice === undefined ? {} : { volumesDevice }),
    ...(domid === undefined ? {} : { domid }),
    ...(level === undefined ? {} : { level }),
    ...(pod === undefined ? {} : { pod }),
    ...(end === undefined ? {} : { end: end as PodVmEnd }),
  };
}
