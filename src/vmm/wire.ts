// SPDX-License-Identifier: Apache-2.0
import type { AgentMessage } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type {
  ClientMessage,
  DeviceAttached,
  Done,
  Executed,
  Loaded,
  Prepared,
  State,
  VmmMessage,
} from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";

/** A call to the VMM, without its id. */
export type VmmCall = NonNullable<ClientMessage["call"]>;
type CallName = VmmCall["$case"];
type Body = NonNullable<VmmMessage["body"]>;

/** What each call is answered with when it succeeds. */
export interface VmmReplies {
  prepare: Prepared;
  load: Loaded;
  execute: Executed;
  attachBlock: DeviceAttached;
  attachFilesystem: DeviceAttached;
  attachNetwork: DeviceAttached;
  detachDevice: Done;
  setContainerLog: Done;
  callAgent: AgentMessage;
  powerOff: Done;
  getState: State;
  quit: Done;
}

/** The oneof member that carries the reply of each call. */
export const REPLY_CASES: Record<CallName, Body["$case"]> = {
  prepare: "prepared",
  load: "loaded",
  execute: "executed",
  attachBlock: "deviceAttached",
  attachFilesystem: "deviceAttached",
  attachNetwork: "deviceAttached",
  detachDevice: "done",
  setContainerLog: "done",
  callAgent: "agentReply",
  powerOff: "done",
  getState: "state",
  quit: "done",
};

/** The argument of the call `Name`. */
export type VmmArgument<Name extends CallName> = Extract<VmmCall, { $case: Name }>["value"];
export type { Body as VmmBody, CallName as VmmCallName };
