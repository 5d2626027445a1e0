// SPDX-License-Identifier: Apache-2.0
import { readdir } from "node:fs/promises";
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import { VmmClient } from "../vmm/vmm-client.ts";
import { explainVmmDeath } from "../vmm/vmm-death.ts";
import { dismantle } from "./dismantle.ts";
import { domainUuid, isOurs } from "./domain-uuid.ts";
import { GuestEvents } from "./guest-events.ts";
import type { Hypervisor } from "./hypervisor.ts";
import { isSandboxId, PodDirectory } from "./pod-directory.ts";

const CONNECT_MS = 2000;

/** Where to look for what nobody owns any more. */
export interface OrphanSearch {
  readonly hypervisor: Pick<Hypervisor, "listDomains" | "destroyDomain">;
  readonly logger: Logger;
  readonly parents: { readonly pods: string; readonly jails: string };
  /** Sandbox ids whose VMs must stay. */
  readonly known: ReadonlySet<string>;
}

/**
 * Destroys the VMs that a lightvmd before this one has left half-made or half-removed: by directory
 * first, then every domain with a handle of ours. One that resists does not keep the others.
 */
export async function destroyOrphans(search: OrphanSearch): Promise<void> {
  const { hypervisor, logger, parents, known } = search;
  const failures: unknown[] = [];
  const attempt = async (what: string, step: () => Promise<void>): Promise<void> => {
    try {
      await step();
      logger.info({ what }, "destroyed what was left of a VM");
    } catch (error) {
      failures.push(error);
    }
  };
  const ids = new Set([...(await podIds(parents.pods)), ...(await podIds(parents.jails))]);
  for (const id of ids) {
    if (!known.has(id)) await attempt(id, () => destroyDirectory(search, id));
  }
  const keep = new Set([...known].map((id) => domainUuid(id)));
  for (const { uuid, domid, dying } of hypervisor.listDomains()) {
    if (isOurs(uuid) && !keep.has(uuid) && !dying) {
      await attempt(`domain ${domid}`, () => hypervisor.destroyDomain(domid));
    }
  }
  if (failures.length > 0) {
    throw new LightvmError("internal", `${failures.length} orphans could not be destroyed`, {
      cause: failures[0],
    });
  }
}

async function destroyDirectory(search: OrphanSearch, id: string): Promise<void> {
  const { hypervisor, logger, parents } = search;
  const directory = new PodDirectory(parents, id);
  const process = directory.readRecord()?.vmm;
  const client = await findVmm(directory);
  await dismantle(hypervisor, { uuid: domainUuid(id), process, client }, logger);
  await directory.remove();
}

/** The VMM of a directory, when one listens there; also when its pid was never written down. */
async function findVmm(directory: PodDirectory): Promise<VmmClient | undefined> {
  const explainLoss = () => explainVmmDeath(directory.vmmLog, undefined);
  try {
    const options = { listener: new GuestEvents(), explainLoss };
    return await VmmClient.connect(directory.socket, options, { timeoutMs: CONNECT_MS });
  } catch {
    // Nobody listens: nothing to ask to quit.
    return undefined;
  }
}

async function podIds(parent: string): Promise<string[]> {
  try {
    return (await readdir(parent)).filter(isSandboxId);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
