// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import { type ProcessStarter, untilReaped } from "../shared/process-starter.ts";
import { type WaitOptions, waitFor } from "../shared/wait.ts";
import { startLoggedServer } from "./logged-server.ts";
import { identifyProcess, type ProcessIdentity } from "./process-identity.ts";
import { lastLines } from "./vmm-death.ts";

/** How a file server is started; see native/files for its command line. */
export interface FileServerOptions {
  readonly processes: ProcessStarter;
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
  const { binary, channels: more, logPath, processes } = options;
  const args = ["--channels", String(more.length)];
  const { pid, control } = startLoggedServer(processes, { binary, args, logPath, more });
  const { promise: disconnected, resolve: onDisconnected } = Promise.withResolvers<undefined>();
  control.once("close", () => onDisconnected(undefined));
  // Its end follows, by which it is told.
  control.on("error", () => undefined);
  // A child that nobody waits for stays in the process table; how it ended is in its log.
  void disconnected.then(() => untilReaped(processes, pid));
  const identity = identifyProcess(pid);
  if (identity !== undefined) options.onStarted(identity);
  const { promise: said, resolve: onSaid } = Promise.withResolvers<Buffer>();
  control.once("data", onSaid);
  // "ready", or the end of the process: its only word.
  const word = await waitFor(Promise.race([said, disconnected]), "the file server", wait);
  control.unref();
  if (identity !== undefined && word !== undefined) return identity;
  const [last = "it wrote nothing"] = lastLines(logPath, 1);
  throw new LightvmError("unavailable", `the file server does not start; its last words: ${last}`);
}
