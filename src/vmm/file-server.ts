// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { LightvmError } from "../shared/errors.ts";
import { type WaitOptions, waitFor } from "../shared/wait.ts";
import { identifyProcess, type ProcessIdentity } from "./process-identity.ts";
import { lastLines } from "./vmm-death.ts";

/** How a file server is started; see native/files for its command line. */
export interface FileServerOptions {
  readonly binary: string;
  /** Descriptors of connected sockets, whose other ends the VMM gets. */
  readonly channels: readonly number[];
  /** Its stderr is appended here. */
  readonly logPath: string;
  /** Called before anything else can happen, so that a crash of ours forgets no process. */
  readonly onStarted: (identity: ProcessIdentity) => void;
}

/**
 * Starts a file server and waits until it has locked itself in. It outlives lightvmd, and ends when
 * the VMM closes its ends of the channels. Throws "unavailable" with its last words when it does
 * not come up.
 */
export async function startFileServer(
  options: FileServerOptions,
  wait: WaitOptions,
): Promise<ProcessIdentity> {
  const { binary, channels, logPath } = options;
  const log = openSync(logPath, "a", 0o600);
  let child: ChildProcess;
  try {
    child = spawn(binary, ["--channels", String(channels.length)], {
      cwd: "/",
      detached: true,
      env: {},
      stdio: ["ignore", "pipe", log, ...channels],
    });
  } finally {
    closeSync(log);
  }
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid);
  if (identity !== undefined) options.onStarted(identity);
  child.unref();
  // "ready", or the end of the process: its only line.
  const firstWord = child.stdout === null ? undefined : once(child.stdout, "data");
  const ended = new Promise<undefined>((resolve) => {
    child.once("error", () => resolve(undefined));
    child.once("exit", () => resolve(undefined));
  });
  try {
    const word = await waitFor(Promise.race([firstWord, ended]), "the file server", wait);
    if (identity !== undefined && word !== undefined) return identity;
    const [last = "it wrote nothing"] = lastLines(logPath, 1);
    throw new LightvmError(
      "unavailable",
      `the file server does not start; its last words: ${last}`,
    );
  } finally {
    child.stdout?.destroy();
  }
}
