// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { LightvmError } from "../../src/shared/errors.ts";

/** How to reach the SSH server of a box. */
export interface SshTarget {
  readonly port: number;
  readonly keyFile: string;
  /** Socket of the connection that all commands share: a new one costs a second under emulation. */
  readonly controlSocket: string;
}

/** How a command ended, and what it wrote. */
export interface CommandResult {
  /** Exit code; 255 also when the connection broke. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Arguments of `ssh` up to and with the host. */
export function sshArguments({ port, keyFile, controlSocket }: SshTarget): string[] {
  const options = {
    ControlMaster: "auto",
    ControlPath: controlSocket,
    ControlPersist: "600",
    BatchMode: "yes",
    StrictHostKeyChecking: "no",
    UserKnownHostsFile: "/dev/null",
    LogLevel: "ERROR",
    ConnectTimeout: "20",
  };
  const flags = Object.entries(options).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  return ["-F", "none", ...flags, "-i", keyFile, "-p", String(port), "root@127.0.0.1"];
}

export interface ExecOptions {
  readonly input?: string | Uint8Array;
  /** Milliseconds; five minutes when absent. */
  readonly timeoutMs?: number;
}

/** Runs a shell command in the box. Throws "deadline-exceeded"; an exit code is no error here. */
export async function execute(
  target: SshTarget,
  command: string,
  { input, timeoutMs = 300_000 }: ExecOptions = {},
): Promise<CommandResult> {
  const child = spawn("ssh", [...sshArguments(target), command], {
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (bytes: Buffer) => stdout.push(bytes));
  child.stderr.on("data", (bytes: Buffer) => stderr.push(bytes));
  // The command may end without reading all of its input: that is its right.
  child.stdin.on("error", () => undefined);
  child.stdin.end(input ?? "");
  let expired = false;
  const timer = setTimeout(() => {
    expired = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  // "exit", not "close": the shared connection's process inherits stderr and lives on.
  const ended = once(child, "exit") as Promise<[number | null]>;
  const drained = once(child.stdout, "end");
  try {
    const [code] = await ended;
    if (expired) {
      const seconds = timeoutMs / 1000;
      const what = `the command in the box took longer than ${seconds} s: ${command}`;
      throw new LightvmError("deadline-exceeded", what);
    }
    await drained;
    const text = (chunks: Buffer[]) => Buffer.concat(chunks).toString("utf8");
    return { code: code ?? 255, stdout: text(stdout), stderr: text(stderr) };
  } finally {
    clearTimeout(timer);
  }
}
