// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import { AgentError } from "../vmm/failures.ts";
import type { VmmClient } from "../vmm/vmm-client.ts";
import type { AgentCall, AgentReply } from "./pod-vm.ts";

const DEFAULT_TIMEOUT_MS = 10_000;
/** The VMM keeps the agent's deadline; ours only catches a VMM that does not. */
const VMM_SLACK_MS = 5000;

/** Relays one call to the agent of a VM; see `PodVm.call`. */
export async function callAgent(
  client: VmmClient,
  call: AgentCall,
  options: { signal?: AbortSignal; timeoutMs?: number },
): Promise<AgentReply> {
  const timeoutMilliseconds = Math.ceil(options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  const { body } = await client.call(
    "callAgent",
    { call: { id: 0n, call }, timeoutMilliseconds },
    { signal: options.signal, timeoutMs: timeoutMilliseconds + VMM_SLACK_MS },
  );
  if (body === undefined) {
    throw new LightvmError("internal", `the agent answered ${call.$case} with nothing`);
  }
  if (body.$case === "failure") throw new AgentError(body.value);
  return body;
}
