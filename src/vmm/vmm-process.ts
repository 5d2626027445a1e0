// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import { LightvmError } from "../shared/errors.ts";
import { type ProcessExit, type ProcessStarter, untilReaped } from "../shared/process-starter.ts";
import { startLoggedServer } from "./logged-server.ts";
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

/** A VMM process that this lightvmd has started. It outlives lightvmd: own session, no pipes. */
export interface VmmProcess {
  readonly identity: ProcessIdentity;
  /** Our end of the socket pair whose other end is the child's descriptor 3. */
  readonly control: Socket;
  /** Resolves when the process has ended; never rejects. */
  readonly exited: Promise<ProcessExit>;
}

/** Starts a VMM. Throws "unavailable" when the binary cannot be run. */
export function spawnVmm(starter: ProcessStarter, options: VmmProcessOptions): VmmProcess {
  const { binary, logPath, onStarted, socketPath } = options;
  const args = ["--socket", socketPath];
  const { control, pid } = startLoggedServer(starter, { binary, args, logPath });
  using undo = new DisposableStack();
  undo.defer(() => control.destroy());
  const disconnected = new Promise((resolve) => control.once("close", resolve));
  const exited = disconnected.then(() => untilReaped(starter, pid));
  const identity = identifyProcess(pid);
  if (identity === undefined) throw new LightvmError("unavailable", `${binary} ended at once`);
  onStarted(identity);
  undo.move();
  return { identity, control, exited };
}
