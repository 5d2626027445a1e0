// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import { VmmClient } from "../vmm/vmm-client.ts";
import { explainVmmDeath } from "../vmm/vmm-death.ts";
import { dismantle } from "./dismantle.ts";
import { domainUuid, isOurs } from "./domain-uuid.ts";
import { GuestEvents } from "./guest-events.ts";
import type { Hypervisor } from "./hypervisor.ts";
import type { PodLinks } from "./pod-links.ts";
import { endFileServer } from "./pod-volumes.ts";
import { ShellDirectory, type ShellParents, shellIds } from "./shell-directory.ts";

const CONNECT_MS = 2000;

/** Where to look for what nobody owns any more. */
export interface OrphanSearch {
  readonly hypervisor: Pick<Hypervisor, "listDomains" | "destroyDomain">;
  readonly logger: Logger;
  readonly parents: ShellParents;
  readonly links: PodLinks;
  /** Sandbox ids whose VMs must stay. */
  readonly pods: ReadonlySet<string>;
  /** Ids of shells that must stay beside those of these pods. */
  readonly shells: ReadonlySet<string>;
}

/**
 * Destroys what a lightvmd before this one has left half-made or half-removed: shells without a pod
 * by directory first, then every domain with a handle of ours, then links of pods that are unknown.
 * One that resists does not keep the others.
 */
export async function destroyOrphans(search: OrphanSearch): Promise<void> {
  const { hypervisor, logger, links, parents, pods } = search;
  const failures: unknown[] = [];
  const attempt = async (what: string, step: () => Promise<void>): Promise<void> => {
    try {
      await step();
      logger.info({ what }, "destroyed what was left of a VM");
    } catch (error) {
      failures.push(error);
    }
  };
  const ofPods = [...pods].map((id) => links.shellOf(id)).filter((id) => id !== undefined);
  const known = new Set([...search.shells, ...ofPods]);
  for (const id of await shellIds(parents)) {
    if (!known.has(id)) await attempt(`shell ${id}`, () => destroyShell(search, id));
  }
  const keep = new Set([...known].map((id) => domainUuid(id)));
  for (const { uuid, domid, dying } of hypervisor.listDomains()) {
    if (isOurs(uuid) && !keep.has(uuid) && !dying) {
      await attempt(`domain ${domid}`, () => hypervisor.destroyDomain(domid));
    }
  }
  for (const id of links.podIds()) {
    // A link of a pod that is being made right now leads to a shell that stays.
    const shell = links.shellOf(id);
    if (!pods.has(id) && !(shell !== undefined && known.has(shell))) links.remove(id);
  }
  if (failures.length > 0) {
    throw new LightvmError("internal", `${failures.length} orphans could not be destroyed`, {
      cause: failures[0],
    });
  }
}

async function destroyShell(search: OrphanSearch, id: string): Promise<void> {
  const { hypervisor, logger, parents } = search;
  const directory = new ShellDirectory(parents, id);
  const record = directory.readRecord();
  const process = record?.vmm;
  const client = await findVmm(directory);
  await dismantle(hypervisor, { uuid: domainUuid(id), process, client }, logger);
  await endFileServer(record?.fileServer);
  await directory.remove();
}

/** The VMM of a directory, when one listens there; also when its pid was never written down. */
async function findVmm(directory: ShellDirectory): Promise<VmmClient | undefined> {
  const explainLoss = () => explainVmmDeath(directory.vmmLog, undefined);
  try {
    const options = { listener: new GuestEvents(), explainLoss };
    return await VmmClient.connect(directory.socket, options, { timeoutMs: CONNECT_MS });
  } catch {
    // Nobody listens: nothing to ask to quit.
    return undefined;
  }
}
