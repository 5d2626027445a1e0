// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync } from "node:fs";
import type { ProcessStarter, StartedServer } from "../shared/process-starter.ts";

/** A program of ours that serves one pod, and what it is started with. */
export interface LoggedServerOptions {
  readonly binary: string;
  readonly args: readonly string[];
  /** Its stdout and stderr are appended here. */
  readonly logPath: string;
  /** Descriptors that it has behind its control socket. */
  readonly more?: readonly number[];
}

/** Starts a server that writes to a log of its own. Throws "unavailable" when it cannot be run. */
export function startLoggedServer(
  processes: ProcessStarter,
  { binary, args, logPath, more }: LoggedServerOptions,
): StartedServer {
  const log = openSync(logPath, "a", 0o600);
  try {
    return processes.startServer(binary, args, log, more);
  } finally {
    closeSync(log);
  }
}
