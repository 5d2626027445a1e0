// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { ClientHello_Purpose } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { LightvmError } from "../shared/errors.ts";
import { throwIfCancelled, type WaitOptions, waitFor } from "../shared/wait.ts";
import { encodeHello } from "./connect.ts";

/** Passes open descriptors over a UNIX socket, which Node itself cannot (unix(7), SCM_RIGHTS). */
export interface FileSender {
  /**
   * Connects to `socketPath`, sends `hello` with `fds` on its first byte, and waits for the peer's
   * one byte 0. The descriptors stay open on our side.
   */
  sendFiles(
    socketPath: string,
    hello: Buffer,
    fds: readonly number[],
    timeoutMs: number,
  ): Promise<void>;
}

/** A file to open. `flags` and `mode` are open(2)'s. */
export interface PathToHand {
  readonly path: string;
  readonly flags: string | number;
  readonly mode?: number;
}

/** What is open already, and stays open on our side. `what` is for messages. */
export interface DescriptorToHand {
  readonly fd: number;
  readonly what: string;
}

export type FileToHand = PathToHand | DescriptorToHand;

/** What one message can carry (vmm.proto, FILES). */
const MAX_FILES = 4;

type Wait = WaitOptions & { timeoutMs: number };

/**
 * Hands files to the VMM that listens on `socketPath`, four at most, all of them by one message: a
 * connection for each would take longer than all hypercalls of a create. Returns the token by which
 * the next call names each; 0 = there is no such file.
 */
export async function handToVmm<Name extends string>(
  sender: FileSender,
  socketPath: string,
  files: Readonly<Record<Name, FileToHand | undefined>>,
  wait: Wait,
): Promise<Record<Name, bigint>> {
  const tokens = await handAllToVmm(sender, socketPath, Object.values(files), wait);
  const named = Object.keys(files).map((name, index) => [name, tokens[index]]);
  return Object.fromEntries(named) as Record<Name, bigint>;
}

/** The same for one file. */
export async function handOneToVmm(
  sender: FileSender,
  socketPath: string,
  file: FileToHand,
  wait: Wait,
): Promise<bigint> {
  return (await handToVmm(sender, socketPath, { file }, wait)).file;
}

/** The same for files without names; their tokens in the same order. */
export async function handAllToVmm(
  sender: FileSender,
  socketPath: string,
  files: readonly (FileToHand | undefined)[],
  wait: Wait,
): Promise<bigint[]> {
  const given = files.filter((file) => file !== undefined);
  const what = `handing ${given.map(nameOf).join(", ")} to the VMM`;
  if (given.length > MAX_FILES) {
    throw new LightvmError("internal", `${what}: it takes ${MAX_FILES} at a time`);
  }
  throwIfCancelled(wait.signal, what);
  const tokens = files.map((file) => (file === undefined ? 0n : newToken()));
  if (given.length === 0) return tokens;
  using opened = new DisposableStack();
  const fds = given.map((file) =>
    "fd" in file ? file.fd : opened.adopt(openFile(file), closeSync),
  );
  const fileTokens = tokens.filter((token) => token !== 0n);
  const hello = encodeHello({ purpose: ClientHello_Purpose.PURPOSE_FILES, fileTokens });
  // The sender keeps the deadline: the descriptors must stay open as long as it works.
  await waitFor(sender.sendFiles(socketPath, hello, fds, wait.timeoutMs), what, {});
  throwIfCancelled(wait.signal, what);
  return tokens;
}

function nameOf(file: FileToHand): string {
  return "fd" in file ? file.what : file.path;
}

/** At once: a thread of Node's pool would take longer than the node's own disk. */
function openFile(file: PathToHand): number {
  try {
    return openSync(file.path, file.flags, file.mode);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const kind =
      code === "ENOENT" ? "not-found" : code === "ENOSPC" ? "resource-exhausted" : "internal";
    throw new LightvmError(kind, `cannot open ${file.path}`, { cause });
  }
}

/** Random, because a restarted lightvmd does not know which tokens the one before has used. */
function newToken(): bigint {
  return randomBytes(8).readBigUInt64LE() | 1n;
}
