// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { LightvmError } from "../shared/errors.ts";
import type { ProcessIdentity } from "../vmm/process-identity.ts";
import type { PodVmEnd, PodVmSpec } from "./pod-vm.ts";

const recordSchema = z.object({
  name: z.string(),
  vcpus: z.number(),
  memoryBytes: z.number(),
  /** uid and gid of the VMM process. */
  uid: z.number(),
  /** Set as soon as the process has been started, */
  vmm: z.object({ pid: z.number(), startTime: z.string() }).optional(),
  /** once the domain has been built, */
  domid: z.number().optional(),
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
});

/** What is written down of a VM while it lives, so that the next lightvmd finds it again. */
export interface PodRecord {
  readonly spec: PodVmSpec;
  readonly uid: number;
  readonly vmm?: ProcessIdentity;
  readonly domid?: number;
  readonly end?: PodVmEnd;
  readonly images: Readonly<Record<string, number>>;
}

const SANDBOX_ID = /^[0-9a-f]{64}$/;

/** Whether a name can be a sandbox id, and so a directory of ours. */
export function isSandboxId(name: string): boolean {
  return SANDBOX_ID.test(name);
}

/** The files of one pod's VM: its run directory and the jail of its VMM process. */
export class PodDirectory {
  readonly id: string;
  readonly path: string;
  readonly jail: string;

  constructor(parents: { pods: string; jails: string }, id: string) {
    this.id = id;
    this.path = join(parents.pods, id);
    this.jail = join(parents.jails, id);
  }

  get socket(): string {
    return join(this.path, "vmm.sock");
  }

  get vmmLog(): string {
    return join(this.path, "vmm.log");
  }

  get bootLog(): string {
    return join(this.path, "boot.log");
  }

  get journal(): string {
    return join(this.path, "journal");
  }

  get #recordFile(): string {
    return join(this.path, "spec.json");
  }

  /** Makes both directories; throws "already-exists" when there is a VM of that id. */
  create(): void {
    mkdirSync(join(this.path, ".."), { recursive: true, mode: 0o711 });
    mkdirSync(join(this.jail, ".."), { recursive: true, mode: 0o711 });
    try {
      mkdirSync(this.path, { mode: 0o700 });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
      throw new LightvmError("already-exists", `there is a VM of pod ${this.id} already`, {
        cause,
      });
    }
    mkdirSync(this.jail, { recursive: true, mode: 0o755 });
  }

  /** Removes everything; no error when nothing is there. */
  async remove(): Promise<void> {
    await rm(this.jail, { recursive: true, force: true });
    await rm(this.path, { recursive: true, force: true });
  }

  /** Replaces the record, whole or not at all. Synchronous: nothing can come in between. */
  writeRecord(record: PodRecord): void {
    const { spec, end, ...rest } = record;
    const file = {
      name: spec.name,
      vcpus: spec.vcpus,
      memoryBytes: spec.memoryBytes,
      ...rest,
      ...(end === undefined ? {} : { end: { ...end, at: String(end.at) } }),
    };
    const temporary = `${this.#recordFile}.new`;
    writeFileSync(temporary, `${JSON.stringify(file, undefined, 2)}\n`, { mode: 0o600 });
    renameSync(temporary, this.#recordFile);
  }

  /** The record; undefined when there is none that can be read. */
  readRecord(): PodRecord | undefined {
    let document: unknown;
    try {
      document = JSON.parse(readFileSync(this.#recordFile, "utf8"));
    } catch {
      // Never written, or the machine lost power in the middle: as good as none.
      return undefined;
    }
    const parsed = recordSchema.safeParse(document);
    if (!parsed.success) return undefined;
    const { name, vcpus, memoryBytes, uid, images, vmm, domid, end } = parsed.data;
    return {
      spec: { id: this.id, name, vcpus, memoryBytes },
      uid,
      images,
      ...(vmm === undefined ? {} : { vmm }),
      ...(domid === undefined ? {} : { domid }),
      ...(end === undefined ? {} : { end: end as PodVmEnd }),
    };
  }
}
