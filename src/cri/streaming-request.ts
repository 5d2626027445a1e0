// SPDX-License-Identifier: Apache-2.0
import type {
  AttachRequest as WireAttach,
  ExecRequest as WireExec,
  PortForwardRequest as WirePortForward,
} from "../../cri-proto/generated/runtime/v1/stream_calls.ts";
import type { AttachRequest } from "../service/stream/attach.ts";
import type { ExecRequest } from "../service/stream/exec.ts";
import type { PortForwardRequest } from "../service/stream/port-forward.ts";
import type { WantedStreams } from "../service/stream/remote-command/session.ts";
import { invalid } from "./checks.ts";

const MAX_PORT = 0xffff;
/** A WebSocket channel is one byte, and a port has two channels. */
const MAX_PORTS = 127;

/** Checks an ExecRequest. */
export function execRequest(request: WireExec): ExecRequest {
  const { cmd, containerId } = request;
  if (cmd[0] === undefined || cmd[0] === "") throw invalid("the request has no command");
  return { containerId, command: cmd, wanted: wantedStreams(request) };
}

/** Checks an AttachRequest. */
export function attachRequest(request: WireAttach): AttachRequest {
  return { containerId: request.containerId, wanted: wantedStreams(request) };
}

/** Checks a PortForwardRequest. */
export function portForwardRequest({ podSandboxId, port }: WirePortForward): PortForwardRequest {
  if (port.length > MAX_PORTS) throw invalid(`more than ${MAX_PORTS} ports at once`);
  for (const each of port) {
    if (each < 1 || each > MAX_PORT) throw invalid(`there is no port ${each}`);
  }
  return { sandboxId: podSandboxId, ports: port };
}

function wantedStreams({ stdin, stdout, stderr, tty }: WireExec | WireAttach): WantedStreams {
  if (tty && stderr) throw invalid("a terminal has no stderr of its own: tty and stderr are set");
  if (!stdin && !stdout && !stderr) throw invalid("one of stdin, stdout and stderr must be set");
  return { stdin, stdout, stderr, terminal: tty };
}
