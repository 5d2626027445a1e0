// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";

/** How a command ended that had to succeed. `output` holds the end of what it printed. */
export class CommandError extends Error {
  readonly output: string;

  constructor(command: readonly string[], how: string, output: string) {
    super(`${command.slice(0, 3).join(" ")} … ${how}\n${output.trimEnd()}`);
    this.name = "CommandError";
    this.output = output;
  }
}

/** Bytes of output kept for the error message. */
const KEPT_OUTPUT = 4000;

/** Runs a command to its end and returns its standard output. Throws CommandError unless it exits 0. */
export async function run(
  command: readonly [string, ...string[]],
  options: { input?: string; env?: NodeJS.ProcessEnv; signal?: AbortSignal } = {},
): Promise<string> {
  const [file, ...args] = command;
  const child = spawn(file, args, {
    stdio: ["pipe", "pipe", "pipe"],
    env: options.env ?? process.env,
    ...(options.signal && { signal: options.signal }),
  });
  let stdout = "";
  let tail = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    stdout += text;
    tail = (tail + text).slice(-KEPT_OUTPUT);
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    tail = (tail + text).slice(-KEPT_OUTPUT);
  });
  // A command that does not read its input closes the pipe: that is its right.
  child.stdin.on("error", () => {});
  child.stdin.end(options.input ?? "");
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  child.on("error", reject);
  child.on("close", (code, signal) => {
    if (code === 0) resolve();
    else reject(new CommandError(command, `ended with ${signal ?? `code ${code}`}`, tail));
  });
  await promise;
  return stdout;
}
