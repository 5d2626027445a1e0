// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";
import type { CommandResult } from "../box/ssh.ts";

const LOG = "/run/lightvmd.log";
const PID = "/run/lightvmd.pid";
const CONFIG = "/run/lightvmd.toml";
const READY = "lightvmd is ready";

export interface DaemonOptions {
  /** Text of a configuration file; absent = the box's own. */
  readonly config?: string;
  /** Directories that it finds empty, as on a host that lacks what is in them. */
  readonly hidden?: readonly string[];
  readonly timeoutMs?: number;
}

/**
 * A command that finds directories empty: it runs in a mount namespace of its own. Replaces the
 * shell, so that the process that was started is the command.
 */
export function withHidden(directories: readonly string[], command: string): string {
  if (directories.length === 0) return command;
  const mounts = directories.map((directory) => `mount -t tmpfs hidden ${directory} && `).join("");
  return `unshare --mount sh -c '${mounts}exec ${command}'`;
}

/** lightvmd as a process of the box's dom0, started and ended as a service manager would. */
export class Daemon {
  readonly #box: Box;

  constructor(box: Box) {
    this.#box = box;
  }

  /** Starts it and waits until it serves the CRI. */
  async start(options: DaemonOptions = {}): Promise<void> {
    const { config, hidden = [], timeoutMs = 180_000 } = options;
    if (config !== undefined) await this.#box.exec(`cat >${CONFIG}`, { input: config });
    const file = config === undefined ? "/etc/lightvm/config.toml" : CONFIG;
    const command = withHidden(hidden, `lightvmd --config ${file}`);
    const { code } = await this.#box.exec(
      [
        `: >${LOG}`,
        `setsid ${command} </dev/null >/dev/null 2>${LOG} &`,
        `echo $! >${PID}`,
        // Ends with the log line, or with the process.
        `timeout ${Math.ceil(timeoutMs / 1000)} tail --pid=$! -n +1 -f ${LOG} | grep -q -m 1 '${READY}'`,
      ].join("\n"),
      { timeoutMs: timeoutMs + 10_000 },
    );
    if (code !== 0) {
      await this.#box.exec(`kill -KILL $(cat ${PID})`);
      throw new LightvmError("unavailable", `lightvmd did not start:\n${await this.log()}`);
    }
  }

  /** Replaces the configuration that `start` was given, and sends SIGHUP. */
  async reload(config: string): Promise<void> {
    await this.#box.exec(`cat >${CONFIG} && kill -HUP $(cat ${PID})`, { input: config });
  }

  /** Sends a signal and waits until the process is gone. */
  async end(signal: "TERM" | "KILL" = "TERM"): Promise<void> {
    const { code, stderr } = await this.#box.exec(
      `pid=$(cat ${PID}) && kill -${signal} $pid && timeout 30 tail --pid=$pid -f /dev/null`,
    );
    if (code !== 0) throw new LightvmError("deadline-exceeded", `lightvmd lives on: ${stderr}`);
  }

  /**
   * Runs a command and kills lightvmd (-9) so long after it has begun to answer the CRI verb that the
   * command calls. Returns how the command ended; lightvmd is gone then.
   */
  async killDuring(verb: string, afterMs: number, command: string): Promise<CommandResult> {
    return await this.#box.exec(
      `lines=$(wc -l <${LOG})
      { timeout 60 tail -n +$((lines + 1)) -f ${LOG} | grep -q -m 1 '"verb":"${verb}".*call begins'
        sleep ${afterMs / 1000}
        kill -KILL $(cat ${PID}); } & killer=$!
      ${command}; code=$?
      wait $killer; timeout 30 tail --pid=$(cat ${PID}) -f /dev/null; exit $code`,
      { timeoutMs: 120_000 },
    );
  }

  /** The end of what it has logged. */
  async log(lines = 60): Promise<string> {
    return (await this.#box.exec(`tail -n ${lines} ${LOG}`)).stdout;
  }
}
