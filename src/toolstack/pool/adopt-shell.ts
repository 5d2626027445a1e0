// SPDX-License-Identifier: Apache-2.0
import { State_Phase } from "../../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { isRunning } from "../../vmm/process-identity.ts";
import { VmmClient } from "../../vmm/vmm-client.ts";
import { explainVmmDeath } from "../../vmm/vmm-death.ts";
import { domainUuid } from "../domain-uuid.ts";
import { GuestEvents } from "../guest-events.ts";
import type { DomainInfo } from "../hypervisor.ts";
import { Shell, type ShellPlan } from "../shell.ts";
import type { ShellDirectory } from "../shell-directory.ts";
import type { ShellLevel } from "../shell-record.ts";
import type { Shells } from "../shells.ts";
import type { WaitingShell } from "./waiting-shells.ts";

/** The phase of a VMM whose shell waits. */
const PHASES: Record<ShellLevel, State_Phase> = {
  prepared: State_Phase.PHASE_PREPARED,
  loaded: State_Phase.PHASE_LOADED,
  booted: State_Phase.PHASE_READY,
};

/**
 * Finds a shell again that waited for a pod when the lightvmd before this one ended. undefined when
 * it was not finished, is not as it was left, or was made from files that are others by now: it is
 * to be destroyed then, as an orphan.
 */
export async function adoptShell(
  shells: Shells,
  directory: ShellDirectory,
  domains: readonly DomainInfo[],
  signal: AbortSignal,
): Promise<WaitingShell | undefined> {
  const record = directory.readRecord();
  if (record?.level === undefined || record.vmm === undefined || record.domid === undefined) {
    return undefined;
  }
  const { level, domid, vmm, flavor } = record;
  const recipe = shells.recipeOf(flavor);
  if (record.recipe !== recipe.stamp || !isRunning(vmm) || !isPaused(domains, directory, domid)) {
    return undefined;
  }
  const events = new GuestEvents();
  const explainLoss = () => explainVmmDeath(directory.vmmLog, undefined);
  const wait = { signal, timeoutMs: shells.tools.vmmTimeoutMs };
  const client = await VmmClient.connect(directory.socket, { listener: events, explainLoss }, wait);
  const { phase } = await client.call("getState", {}, wait);
  if (phase !== PHASES[level]) {
    client.close();
    return undefined;
  }
  shells.claim(directory, record);
  const plan: ShellPlan = {
    flavor,
    recipe,
    directory,
    uid: record.uid,
    priority: "background",
    memory: "grows",
  };
  const parts = { plan, domid, process: vmm, client, events };
  return { shell: Shell.adopted(shells.tools, parts, record), level };
}

function isPaused(
  domains: readonly DomainInfo[],
  directory: ShellDirectory,
  domid: number,
): boolean {
  const domain = domains.find((each) => each.domid === domid);
  const same = domain?.uuid === domainUuid(directory.id) && !domain.dying;
  return same && domain.paused && domain.shutdown === undefined;
}
