// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { GuestEnd_Reason } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { unikernelExit } from "./unikernel-pod.ts";

describe("the exit of a unikernel", () => {
  it.each([
    [GuestEnd_Reason.REASON_POWEROFF, 0, "Completed"],
    [GuestEnd_Reason.REASON_PANIC, 134, "Error"],
    [GuestEnd_Reason.REASON_REBOOT, 134, "Error"],
    // It attacked its VMM and was found out.
    [GuestEnd_Reason.REASON_DEVICE_ERROR, 134, "Error"],
    ["destroyed", 137, "Error"],
    [GuestEnd_Reason.REASON_AGENT_LOST, 255, "Error"],
  ] as const)("that ended for reason %s has code %i", (reason, code, word) => {
    const end = { reason, message: "why", at: 5n };
    expect(unikernelExit(end)).toEqual({ at: 5n, code, reason: word, message: "why" });
  });
});
