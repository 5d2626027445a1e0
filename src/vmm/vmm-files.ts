// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { closeSync, openSync } from "node:fs";
import { ClientHello_Purpose } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { LightvmError } from "../shared/errors.ts";
import { throwIfCancelled, type WaitOptions, waitFor } from "../shared/wait.ts";
import { encodeHello } from "./connect.ts";

/** Passes an open descriptor over a UNIX socket, which Node itself cannot (unix(7), SCM_RIGHTS). */
export interface FileSender {
  /**
   * Connects to `socketPath`, sends `hello` with `fd` on its first byte, and waits for the peer's
   * one byte 0. The descriptor stays open on our side.
   */
  sendFile(socketPath: string, hello: Buffer, fd: number, timeoutMs: number): Promise<void>;
}

/**
 * Opens `path` and hands it to the VMM that listens on `socketPath`. Returns the token by which
 * the next call names the file. `flags` and `mode` are open(2)'s.
 */
export async function handFileToVmm(
  sender: FileSender,
  socketPath: string,
  file: { path: string; flags: string | number; mode?: number },
  wait: WaitOptions & { timeoutMs: number },
): Promise<bigint> {
  throwIfCancelled(wait.signal, `handing over ${file.path}`);
  const descriptor = openFile(file);
  try {
    return await handDescriptorToVmm(sender, socketPath, descriptor, file.path, wait);
  } finally {
    closeSync(descriptor);
  }
}

/**
 * Hands an open descriptor to the VMM that listens on `socketPath`; it stays open on our side.
 * `what` is for messages. Returns the token by which the next call names it.
 */
export async function handDescriptorToVmm(
  sender: FileSender,
  socketPath: string,
  descriptor: number,
  what: string,
  wait: WaitOptions & { timeoutMs: number },
): Promise<bigint> {
  const fileToken = newToken();
  const hello = encodeHello({ purpose: ClientHello_Purpose.PURPOSE_FILE, fileToken });
  await waitFor(
    sender.sendFile(socketPath, hello, descriptor, wait.timeoutMs),
    `handing ${what} to the VMM`,
    // The sender keeps the deadline: the descriptor must stay open as long as it works.
    {},
  );
  throwIfCancelled(wait.signal, `handing over ${what}`);
  return fileToken;
}

/** At once: a thread of Node's pool would take longer than the node's own disk. */
function openFile(file: { path: string; flags: string | number; mode?: number }): number {
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
