// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { ProcessExited } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { GuestEnd_Reason, JournalRecord } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { encodeFrame } from "../vmm/framing.ts";
import { parseJournal, readJournal } from "./journal.ts";

function exit(containerId: string, exitCode: number, execId = ""): ProcessExited {
  return { containerId, execId, exitCode, signal: 0, outOfMemory: false, ageNanoseconds: 0n };
}

function frame(record: JournalRecord["record"]): Buffer {
  return encodeFrame(JournalRecord.encode({ realtimeNanoseconds: 1n, record }).finish());
}

const first = frame({ $case: "exited", value: exit("a", 3) });
const ofExec = frame({ $case: "exited", value: exit("a", 9, "exec") });
const ended = frame({
  $case: "ended",
  value: { reason: GuestEnd_Reason.REASON_PANIC, message: "oops", realtimeNanoseconds: 5n },
});

describe("journal", () => {
  it("gives the exits of containers and the guest's end", () => {
    const journal = parseJournal(Buffer.concat([first, ofExec, ended]));
    expect(journal.exits.map((each) => [each.containerId, each.exitCode])).toEqual([["a", 3]]);
    expect(journal.end?.message).toBe("oops");
    expect(journal.booted).toBe(false);
  });

  it("keeps all before a torn last record, wherever it is torn", () => {
    for (let cut = 0; cut < ended.length; cut += 1) {
      const journal = parseJournal(Buffer.concat([first, ended.subarray(0, cut)]));
      expect(journal.exits).toHaveLength(1);
      expect(journal.end).toBeUndefined();
    }
  });

  it("keeps all before garbage", () => {
    const journal = parseJournal(Buffer.concat([first, Buffer.from("ffffffffffff", "hex")]));
    expect(journal.exits).toHaveLength(1);
  });

  it("is empty when there is no file", async () => {
    await expect(readJournal("/nonexistent/journal")).resolves.toEqual({
      exits: [],
      end: undefined,
      booted: false,
    });
  });
});
