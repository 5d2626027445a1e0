// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import type { ProcessExited } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { type GuestEnd, JournalRecord } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { LightvmError } from "../shared/errors.ts";
import { LENGTH_BYTES } from "../vmm/framing.ts";

/** What a VMM has written down for whoever comes after it. */
export interface Journal {
  /** Exits of containers, oldest first. */
  readonly exits: readonly ProcessExited[];
  /** How the guest ended, when it has. */
  readonly end: GuestEnd | undefined;
  /** Whether the agent has ever said hello. */
  readonly booted: boolean;
}

/**
 * Reads the records of a journal's bytes. A VMM that dies in the middle of a write leaves a torn
 * last record; everything before it counts. Damage elsewhere cannot be told from a torn record,
 * so reading stops at the first one that does not decode.
 */
export function parseJournal(bytes: Buffer): Journal {
  const exits: ProcessExited[] = [];
  let end: GuestEnd | undefined;
  let booted = false;
  for (const { record } of readRecords(bytes)) {
    if (record?.$case === "exited" && record.value.execId === "") exits.push(record.value);
    else if (record?.$case === "ended") end = record.value;
    else if (record?.$case === "ready") booted = true;
  }
  return { exits, end, booted };
}

/** The journal of a pod directory; empty when the VMM never got one. */
export async function readJournal(path: string): Promise<Journal> {
  try {
    return parseJournal(await readFile(path));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return parseJournal(Buffer.alloc(0));
    throw new LightvmError("data-loss", `cannot read the journal ${path}`, { cause });
  }
}

function readRecords(bytes: Buffer): JournalRecord[] {
  const records: JournalRecord[] = [];
  for (let at = 0; at + LENGTH_BYTES <= bytes.length; ) {
    const start = at + LENGTH_BYTES;
    at = start + bytes.readUInt32LE(at);
    if (at > bytes.length) break;
    try {
      records.push(JournalRecord.decode(bytes.subarray(start, at)));
    } catch {
      // Torn: what was decoded so far is what the VMM had finished.
      break;
    }
  }
  return records;
}
