// SPDX-License-Identifier: Apache-2.0
import type { Writable } from "node:stream";
import type { WebSocket } from "ws";
import { Channels } from "../websocket/channels.ts";
import type { RemoteCommandSession, WantedStreams } from "./session.ts";
import { statusMessage } from "./status.ts";
import { terminalSizes } from "./terminal-sizes.ts";

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const ERROR = 3;
const RESIZE = 4;

/** A session over WebSocket, in the channel protocol of that version: 4, or 5 with half-close. */
export function openWebSocketSession(
  socket: WebSocket,
  version: number,
  wanted: WantedStreams,
): RemoteCommandSession {
  const channels = new Channels(socket, { closable: version >= 5 });
  const writer = (channel: number, is: boolean) => (is ? channels.writer(channel) : undefined);
  const stdout = writer(STDOUT, wanted.stdout);
  const stderr = writer(STDERR, wanted.stderr);
  const error = channels.writer(ERROR);
  const sizes = wanted.terminal ? channels.reader(RESIZE) : undefined;
  channels.announce(wanted.stdout ? STDOUT : wanted.stderr ? STDERR : ERROR);
  return {
    stdin: wanted.stdin ? channels.reader(STDIN) : undefined,
    stdout,
    stderr,
    terminalSizes: terminalSizes(sizes),
    gone: channels.gone,
    finish: (status) => {
      endAll([stdout, stderr]);
      error.on("error", () => channels.close());
      error.end(statusMessage(status, version), () => channels.close());
    },
  };
}

function endAll(outputs: readonly (Writable | undefined)[]): void {
  for (const output of outputs) if (output?.writableEnded === false) output.end();
}
