// SPDX-License-Identifier: Apache-2.0
import type { Stats } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { Sandbox } from "../pod/sandbox.ts";
import { LightvmError } from "../shared/errors.ts";

/** A guest that does not answer must not keep the figures of all others. */
const TIMEOUT_MS = 5000;

/** What a guest counts of itself and of its containers. Its word, and believed for it alone. */
export async function guestStats(sandbox: Sandbox, signal: AbortSignal): Promise<Stats> {
  const call = { $case: "getStats", value: { containerId: "" } } as const;
  const reply = await sandbox.requireVm().call(call, { signal, timeoutMs: TIMEOUT_MS });
  if (reply.$case !== "stats") {
    throw new LightvmError("internal", `the agent answered getStats with ${reply.$case}`);
  }
  return reply.value;
}
