// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import { waitFor } from "../shared/wait.ts";
import { type ProcessIdentity, signalProcess, waitUntilGone } from "../vmm/process-identity.ts";
import type { VmmClient } from "../vmm/vmm-client.ts";
import type { Hypervisor } from "./hypervisor.ts";

/** How long a VMM may take to unmap its guest and exit when it is asked to. */
const QUIT_MS = 3000;
/** How long a process may take to die of SIGKILL: it has a whole guest to unmap. */
const KILL_MS = 10_000;

/** What may be left of one VM. */
export interface VmRemains {
  readonly uuid: string;
  readonly process: ProcessIdentity | undefined;
  readonly client: VmmClient | undefined;
}

/**
 * Ends whatever there is of a VM: first the VMM, which unmaps the guest's memory, then every domain
 * with its handle. (The other way round Xen keeps the domain as a zombie until the mapping goes.)
 * Idempotent; throws when something is left after all.
 */
export async function dismantle(
  hypervisor: Pick<Hypervisor, "listDomains" | "destroyDomain">,
  remains: VmRemains,
  logger: Logger,
): Promise<void> {
  await endVmm(remains, logger);
  for (const domain of hypervisor.listDomains()) {
    if (domain.uuid === remains.uuid && !domain.dying) {
      await hypervisor.destroyDomain(domain.domid);
      logger.debug({ domid: domain.domid }, "domain destroyed");
    }
  }
}

async function endVmm({ client, process }: VmRemains, logger: Logger): Promise<void> {
  const quitting = client !== undefined && (await quit(client, logger));
  if (process === undefined) return;
  // The connection ends in exit(2), so the rest of the exit is a matter of microseconds.
  if (quitting && (await waitUntilGone(process, QUIT_MS))) return;
  signalProcess(process, "SIGKILL");
  if (await waitUntilGone(process, KILL_MS)) return;
  throw new LightvmError("internal", `VMM process ${process.pid} survives SIGKILL`);
}

/** Asks a VMM to quit and waits for the end of the connection; false when it does not come. */
async function quit(client: VmmClient, logger: Logger): Promise<boolean> {
  // The reply may be lost in the exit; the end of the connection is as good.
  void client.call("quit", {}, { timeoutMs: QUIT_MS }).catch(() => undefined);
  try {
    await waitFor(client.lost, "the end of the VMM", { timeoutMs: QUIT_MS });
    return true;
  } catch (error) {
    logger.warn({ error }, "the VMM does not quit and is killed");
    return false;
  } finally {
    client.close();
  }
}
