// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";

/** How a child has ended, as waitpid(2) tells it; both null when it was not our child any more. */
export interface ProcessExit {
  readonly exitCode: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A child that is spoken with over a socket. */
export interface StartedServer {
  readonly pid: number;
  /** The other end of its descriptor 3. */
  readonly control: Socket;
}

/** A child that is spoken with over pipes. */
export interface StartedFilter {
  readonly pid: number;
  readonly stdin: Writable;
  readonly stdout: Readable;
  readonly stderr: Readable;
}

/**
 * Starts processes without copying this one first, which Node's own way does: a dom0 pays tens of
 * milliseconds for it. What it starts is in this process's session.
 */
export interface ProcessStarter {
  /**
   * Starts a program with no environment, the descriptor `log` as its output, a control socket as
   * descriptor 3, and `more` as those behind it. Throws "unavailable" when it cannot be run.
   */
  startServer(
    program: string,
    args: readonly string[],
    log: number,
    more?: readonly number[],
  ): StartedServer;
  /** Starts a program without arguments. Throws "unavailable" when it cannot be run. */
  startFilter(program: string, environment: Readonly<Record<string, string>>): StartedFilter;
  /** How a child has ended, told once; undefined while it runs. */
  reap(pid: number): ProcessExit | undefined;
  /** Resolves when the next child of this process ends, whichever that is. */
  nextEnd(): Promise<void>;
}

/**
 * Waits for the end of a child. To be called when it has given up its connections, the first sign of an
 * end: whoever waits looks each time that any child ends.
 */
export async function untilReaped(starter: ProcessStarter, pid: number): Promise<ProcessExit> {
  for (;;) {
    // Before the look: an end right behind it is not to be missed.
    const ended = starter.nextEnd();
    const exit = starter.reap(pid);
    if (exit !== undefined) return exit;
    await ended;
  }
}
