// SPDX-License-Identifier: Apache-2.0
import type { Readable, Writable } from "node:stream";

/** Which streams of a command its client has asked for. */
export interface WantedStreams {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  /** stdin and stdout are a terminal, whose size the client tells. */
  readonly terminal: boolean;
}

/** Characters. */
export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** How a command has ended, as its client is told. */
export type CommandStatus =
  | { readonly kind: "success" }
  /** With this code, which is not 0. */
  | { readonly kind: "exited"; readonly code: number }
  /** It did not run, or how it ended is not known. */
  | { readonly kind: "failed"; readonly message: string };

/** A client at the other end of a command's streams, whatever protocol it speaks. */
export interface RemoteCommandSession {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  /** Ends with the session. */
  readonly terminalSizes: AsyncIterable<TerminalSize>;
  /** Aborts when the client is gone. */
  readonly gone: AbortSignal;
  /** Tells how the command has ended, after all that was written, and ends the session. */
  finish(status: CommandStatus): void;
}
