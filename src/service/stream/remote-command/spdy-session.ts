// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import { LightvmError } from "../../../shared/errors.ts";
import { waitFor } from "../../../shared/wait.ts";
import { SpdyConnection } from "../spdy/connection.ts";
import type { SpdyStream } from "../spdy/stream.ts";
import type { RemoteCommandSession, WantedStreams } from "./session.ts";
import { statusMessage } from "./status.ts";
import { terminalSizes } from "./terminal-sizes.ts";

/** How long a client may take to open its streams. */
const STREAMS_MS = 30_000;

type StreamType = "error" | "stdin" | "stdout" | "stderr" | "resize";

/**
 * A session over SPDY/3.1, once the client has opened a stream for everything that it wants; which one
 * is for what, it says in the header "streamtype". `version` is that of the channel protocol, 1 to 4.
 * Throws "deadline-exceeded" or "unavailable" when the streams do not come.
 */
export async function openSpdySession(
  { socket, head }: { readonly socket: Duplex; readonly head: Buffer },
  version: number,
  wanted: WantedStreams,
): Promise<RemoteCommandSession> {
  const missing = new Set(expectedStreams(version, wanted));
  const streams = new Map<StreamType, SpdyStream>();
  const { promise: complete, resolve, reject } = Promise.withResolvers<void>();
  const connection = new SpdyConnection(socket, head, {
    accept: (stream) => {
      const type = stream.headers.get("streamtype") as StreamType;
      if (!missing.delete(type)) return false;
      streams.set(type, stream);
      // Nothing comes on the others; what comes all the same is dropped.
      if (type !== "stdin" && type !== "resize") stream.resume();
      if (missing.size === 0) resolve();
      return true;
    },
  });
  const gone = new AbortController();
  void connection.ended.then((reason = "the session has ended") => {
    const error = new LightvmError("unavailable", reason);
    gone.abort(error);
    reject(error);
  });
  try {
    await waitFor(complete, "the client's streams", { timeoutMs: STREAMS_MS });
  } catch (error) {
    connection.close();
    throw error;
  }
  return {
    stdin: streams.get("stdin"),
    stdout: streams.get("stdout"),
    stderr: streams.get("stderr"),
    terminalSizes: terminalSizes(streams.get("resize")),
    gone: gone.signal,
    finish: (status) => finish(connection, streams, statusMessage(status, version)),
  };
}

function expectedStreams(version: number, wanted: WantedStreams): StreamType[] {
  const expected: StreamType[] = ["error"];
  if (wanted.stdin) expected.push("stdin");
  if (wanted.stdout) expected.push("stdout");
  if (wanted.stderr) expected.push("stderr");
  if (wanted.terminal && version >= 3) expected.push("resize");
  return expected;
}

/** The status goes last: a client may leave as soon as it has it. */
function finish(
  connection: SpdyConnection,
  streams: ReadonlyMap<StreamType, SpdyStream>,
  status: string,
): void {
  const outputs = [streams.get("stdout"), streams.get("stderr")];
  for (const output of outputs) if (output?.writableEnded === false) output.end();
  const error = streams.get("error");
  if (error === undefined || error.destroyed) connection.close();
  else error.end(status, () => connection.finish());
}
