// SPDX-License-Identifier: Apache-2.0
import {
  Failure_Code as AgentCode,
  type Failure as AgentFailure,
} from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import {
  Failure_Code as VmmCode,
  type Failure as VmmFailure,
} from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { type ErrorCode, LightvmError } from "../shared/errors.ts";

const VMM_CODES: Record<VmmCode, ErrorCode> = {
  [VmmCode.CODE_UNSPECIFIED]: "internal",
  [VmmCode.CODE_INVALID]: "invalid-argument",
  [VmmCode.CODE_FAILED_PRECONDITION]: "failed-precondition",
  [VmmCode.CODE_NO_MEMORY]: "resource-exhausted",
  [VmmCode.CODE_NO_XEN]: "unavailable",
  [VmmCode.CODE_BAD_KERNEL]: "failed-precondition",
  [VmmCode.CODE_GUEST_GONE]: "unavailable",
  [VmmCode.CODE_AGENT_UNREACHABLE]: "unavailable",
  [VmmCode.CODE_UNKNOWN_FILE]: "internal",
  [VmmCode.CODE_NO_SLOT]: "resource-exhausted",
  [VmmCode.CODE_DEVICE]: "unavailable",
  [VmmCode.CODE_INTERNAL]: "internal",
  [VmmCode.UNRECOGNIZED]: "internal",
};

const AGENT_CODES: Record<AgentCode, ErrorCode> = {
  [AgentCode.CODE_UNSPECIFIED]: "internal",
  [AgentCode.CODE_INVALID]: "invalid-argument",
  [AgentCode.CODE_NOT_FOUND]: "not-found",
  [AgentCode.CODE_EXISTS]: "already-exists",
  [AgentCode.CODE_FAILED_PRECONDITION]: "failed-precondition",
  [AgentCode.CODE_COMMAND_NOT_FOUND]: "invalid-argument",
  [AgentCode.CODE_COMMAND_NOT_EXECUTABLE]: "invalid-argument",
  [AgentCode.CODE_USER_NOT_FOUND]: "invalid-argument",
  [AgentCode.CODE_INTERNAL]: "internal",
  [AgentCode.UNRECOGNIZED]: "internal",
};

/** The VMM answered a call with a failure. */
export class VmmError extends LightvmError {
  readonly vmmCode: VmmCode;

  constructor(failure: VmmFailure) {
    // An enum field is open: a newer VMM may send a code that this table does not know.
    super(VMM_CODES[failure.code] ?? "internal", failure.message);
    this.name = "VmmError";
    this.vmmCode = failure.code;
  }
}

/** The agent in the guest answered a call with a failure. Its text comes from the guest. */
export class AgentError extends LightvmError {
  readonly agentCode: AgentCode;

  constructor(failure: AgentFailure) {
    super(AGENT_CODES[failure.code] ?? "internal", failure.message);
    this.name = "AgentError";
    this.agentCode = failure.code;
  }
}
