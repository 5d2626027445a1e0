// SPDX-License-Identifier: Apache-2.0
import { type State, State_Phase } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { describeError } from "../shared/errors.ts";
import { isRunning } from "../vmm/process-identity.ts";
import { VmmClient } from "../vmm/vmm-client.ts";
import { explainVmmDeath } from "../vmm/vmm-death.ts";
import { dismantle } from "./dismantle.ts";
import { domainUuid } from "./domain-uuid.ts";
import { GuestEvents } from "./guest-events.ts";
import { readJournal } from "./journal.ts";
import { LightvmPodVm, type PodVmContext } from "./lightvm-pod-vm.ts";
import type { PodVm, PodVmEnd, PodVmSpec } from "./pod-vm.ts";
import { endFileServer } from "./pod-volumes.ts";
import type { ShellDirectory } from "./shell-directory.ts";
import type { ShellRecord } from "./shell-record.ts";
import type { PodVmLink } from "./vm-conclusion.ts";
import { endOfGuest, endOfState, realtimeNanoseconds } from "./vm-end.ts";

/**
 * Finds the VM of a pod again that another lightvmd has built.
 *
 *   no record, or the create was cut off → dismantled, undefined
 *   its end is written down              → ended, as recorded
 *   the VMM is gone                      → ended, as its journal tells
 *   the VMM answers                      → running, or ended as the VMM tells
 */
export async function adoptVm(
  context: PodVmContext,
  spec: PodVmSpec,
  directory: ShellDirectory,
  signal: AbortSignal,
): Promise<PodVm | undefined> {
  const record = directory.readRecord();
  if (record?.end !== undefined) {
    return await LightvmPodVm.fallen(context, spec, directory, record, record.end);
  }
  if (record?.vmm === undefined || record.domid === undefined) {
    await removeRemains(context, spec, directory, record);
    return undefined;
  }
  if (!isRunning(record.vmm)) return await adoptDead(context, spec, directory, record);
  return await adoptLiving(context, spec, directory, record, signal);
}

async function adoptLiving(
  context: PodVmContext,
  spec: PodVmSpec,
  directory: ShellDirectory,
  record: ShellRecord,
  signal: AbortSignal,
): Promise<PodVm | undefined> {
  const events = new GuestEvents();
  const explainLoss = () => explainVmmDeath(directory.vmmLog, undefined);
  const wait = { signal, timeoutMs: context.vmmTimeoutMs };
  let client: VmmClient;
  let state: State;
  try {
    client = await VmmClient.connect(directory.socket, { listener: events, explainLoss }, wait);
    state = await client.call("getState", {}, wait);
  } catch (error) {
    signal.throwIfAborted();
    context.logger.warn({ error, pod: spec.id }, "a VMM runs but does not answer");
    return await adoptDead(context, spec, directory, record, describeError(error));
  }
  const link: PodVmLink = { client, events };
  const end = endOfState(state);
  const started = spec.unikernel ? record.pod !== undefined : isReady(state);
  if (!started && end === undefined) {
    // lightvmd died between spawn and boot; nobody was told of this VM.
    await removeRemains(context, spec, directory, record, client);
    return undefined;
  }
  await detachStrays(client, record, state, context);
  const vm = LightvmPodVm.running(context, spec, directory, record, link, []);
  if (end !== undefined) await vm.conclude(end);
  return vm;
}

/** Disks whose lightvmd died before it had written them down: nobody was told of them. */
async function detachStrays(
  client: VmmClient,
  record: ShellRecord,
  state: State,
  { logger, vmmTimeoutMs }: PodVmContext,
): Promise<void> {
  const held = record.disks.map(({ deviceId }) => deviceId);
  const known = new Set([...Object.values(record.images), ...held]);
  for (const deviceId of state.blockDeviceIds.filter((id) => !known.has(id))) {
    try {
      await client.call("detachDevice", { deviceId }, { timeoutMs: vmmTimeoutMs });
    } catch (error) {
      // It ends with the VM.
      logger.warn({ error, deviceId }, "a disk of nobody could not be taken from its guest");
    }
  }
}

function isReady({ phase }: State): boolean {
  return phase === State_Phase.PHASE_READY;
}

/** The VMM is gone, or as good as gone: what it has written down is all there is. */
async function adoptDead(
  context: PodVmContext,
  spec: PodVmSpec,
  directory: ShellDirectory,
  record: ShellRecord,
  why: string = "the VMM process ended while lightvmd was away",
): Promise<PodVm> {
  const journal = await readJournal(directory.journal);
  const end: PodVmEnd = journal.end
    ? endOfGuest(journal.end)
    : { reason: "vmm-died", message: why, at: realtimeNanoseconds() };
  return await LightvmPodVm.fallen(context, spec, directory, record, end);
}

async function removeRemains(
  context: PodVmContext,
  spec: PodVmSpec,
  directory: ShellDirectory,
  record: ShellRecord | undefined,
  client?: VmmClient,
): Promise<void> {
  const remains = { uuid: domainUuid(directory.id), process: record?.vmm, client };
  await dismantle(context.hypervisor, remains, context.logger);
  await endFileServer(record?.fileServer);
  await directory.remove();
  context.onRemoved(spec.id, directory.id, record?.uid);
}
