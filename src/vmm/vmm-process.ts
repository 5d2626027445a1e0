// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { Socket } from "node:net";
import { LightvmError } from "../shared/errors.ts";
import { identifyProcess, type ProcessIdentity } from "./process-identity.ts";

/** How a VMM is started; see native/vmm for its command line. */
export interface VmmProcessOptions {
  readonly binary: string;
  /** Where it will listen. */
  readonly socketPath: string;
  /** Its stdout and stderr are appended here. */
  readonly logPath: string;
  /** Called before anything else can happen, so that a crash of ours forgets no process. */
  readonly onStarted: (identity: ProcessIdentity) => void;
}

/** How a child has ended, as waitpid(2) tells it. */
export interface ProcessExit {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A VMM process that this lightvmd has started. It outlives lightvmd: own session, no pipes. */
export interface VmmProcess {
  readonly identity: ProcessIdentity;
  /** Our end of the socket pair whose other end is the child's descriptor 3. */
  readonly control: Socket;
  /** Resolves when the process has ended; never rejects. */
  readonly exited: Promise<ProcessExit>;
}

/** Starts a VMM. Throws "unavailable" when the binary cannot be run. */
export async function spawnVmm(options: VmmProcessOptions): Promise<VmmProcess> {
  const log = openSync(options.logPath, "a", 0o600);
  let child: ChildProcess;
  try {
    child = spawn(options.binary, ["--socket", options.socketPath], {
      cwd: "/",
      detached: true,
      env: {},
      stdio: ["ignore", log, log, "pipe"],
    });
  } finally {
    closeSync(log);
  }
  const identity = child.pid === undefined ? undefined : identifyProcess(child.pid);
  if (identity !== undefined) options.onStarted(identity);
  const exited = new Promise<ProcessExit>((resolve) => {
    child.once("exit", (exitCode, signal) => resolve({ exitCode, signal }));
  });
  // lightvmd may end while its VMMs go on.
  child.unref();
  await new Promise<void>((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (cause) => {
      reject(new LightvmError("unavailable", `cannot start ${options.binary}`, { cause }));
    });
  });
  const control = child.stdio[3];
  if (identity === undefined || !(control instanceof Socket)) {
    const { exitCode, signal } = await exited;
    throw new LightvmError(
      "unavailable",
      `${options.binary} ended at once (${exitCode ?? signal})`,
    );
  }
  return { identity, control, exited };
}
