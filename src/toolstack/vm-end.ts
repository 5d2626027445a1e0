// SPDX-License-Identifier: Apache-2.0
import {
  type GuestEnd,
  GuestEnd_Reason,
  type State,
  State_Phase,
} from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import type { Logger } from "../shared/logger.ts";
import type { VmmClient } from "../vmm/vmm-client.ts";
import { lastLines } from "../vmm/vmm-death.ts";
import type { DomainFate } from "./domain-watch.ts";
import type { PodVmEnd } from "./pod-vm.ts";

/** How long a VMM may take to say how its guest is; milliseconds. */
export const STATE_MS = 2000;

/** Host CLOCK_REALTIME in nanoseconds, as good as JavaScript knows it. */
export function realtimeNanoseconds(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

/** The end as the VMM told it. */
export function endOfGuest(end: GuestEnd): PodVmEnd {
  return { reason: end.reason, message: end.message, at: end.realtimeNanoseconds };
}

/** The end in a VMM's state, when it has come. */
export function endOfState(state: State): PodVmEnd | undefined {
  if (state.end !== undefined) return endOfGuest(state.end);
  if (state.phase !== State_Phase.PHASE_ENDED) return undefined;
  const reason = GuestEnd_Reason.REASON_UNSPECIFIED;
  return { reason, message: "the guest has ended", at: realtimeNanoseconds() };
}

const FATES: Record<DomainFate, { reason: PodVmEnd["reason"]; message: string }> = {
  poweroff: { reason: GuestEnd_Reason.REASON_POWEROFF, message: "the guest powered off" },
  reboot: { reason: GuestEnd_Reason.REASON_REBOOT, message: "the guest asked for a reboot" },
  suspend: { reason: GuestEnd_Reason.REASON_UNSPECIFIED, message: "the guest suspended itself" },
  crash: { reason: GuestEnd_Reason.REASON_PANIC, message: "the guest crashed" },
  watchdog: { reason: GuestEnd_Reason.REASON_PANIC, message: "the guest's watchdog expired" },
  "soft-reset": { reason: GuestEnd_Reason.REASON_REBOOT, message: "the guest asked for a reset" },
  other: { reason: GuestEnd_Reason.REASON_UNSPECIFIED, message: "the guest shut down" },
  missing: { reason: "destroyed", message: "the domain was destroyed from outside" },
};

/** The end of a domain whose VMM has said nothing. */
export function endOfDomain(fate: DomainFate): PodVmEnd {
  return { ...FATES[fate], at: realtimeNanoseconds() };
}

/**
 * The end of a domain that Xen told of, in the words of its VMM when that can say more. The VMM writes
 * down what its guest said last before it answers. One that is silent or gone has its reason told by
 * whoever watches its connection.
 */
export async function endToldBy(
  client: Pick<VmmClient, "call">,
  fate: DomainFate,
  logger: Logger,
): Promise<PodVmEnd> {
  try {
    const state = await client.call("getState", {}, { timeoutMs: STATE_MS });
    return endOfState(state) ?? endOfDomain(fate);
  } catch (error) {
    logger.debug({ error }, "the VMM cannot say how its guest ended");
    return endOfDomain(fate);
  }
}

/** Lines of a boot log that go into a message. */
const LOG_LINES = 5;
/** C0, DEL and C1: they would reach the terminal of whoever reads about a pod that wants it. */
const CONTROL_CHARACTERS = /\p{Cc}/gu;

/** The end of a guest's boot log in one line, empty when it is. */
export function lastWords(bootLog: string): string {
  const lines = lastLines(bootLog, LOG_LINES);
  return lines.map((line) => line.replaceAll(CONTROL_CHARACTERS, "").trim()).join(" | ");
}

/** The end of a guest that failed, with what its kernel had to say about it; any other as it is. */
export function withLastWords(end: PodVmEnd, bootLog: string): PodVmEnd {
  const { reason } = end;
  const failed =
    reason === GuestEnd_Reason.REASON_PANIC || reason === GuestEnd_Reason.REASON_REBOOT;
  const words = failed ? lastWords(bootLog) : "";
  if (words === "") return end;
  return { ...end, message: `${end.message}; its boot log ends: ${words}` };
}
