// SPDX-License-Identifier: Apache-2.0
import type { ExecSyncRequest as WireRequest } from "../../cri-proto/generated/runtime/v1/stream_calls.ts";
import type { ExecSyncRequest } from "../service/container/exec-sync.ts";
import { invalid, natural } from "./checks.ts";

/** setTimeout cannot wait longer; nobody waits that long. */
const MAX_SECONDS = 2_000_000n;

/** Checks an ExecSyncRequest. */
export function execSyncRequest({ cmd, containerId, timeout }: WireRequest): ExecSyncRequest {
  if (cmd[0] === undefined || cmd[0] === "") throw invalid("the request has no command");
  return { containerId, command: cmd, timeoutMs: milliseconds(timeout) };
}

/** Seconds until SIGKILL → milliseconds. */
export function stopTimeoutMs(timeout: bigint): number {
  return milliseconds(timeout);
}

function milliseconds(seconds: bigint): number {
  return natural(seconds < MAX_SECONDS ? seconds : MAX_SECONDS, "timeout") * 1000;
}
