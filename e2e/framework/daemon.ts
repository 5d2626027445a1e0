// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";

const LOG = "/run/lightvmd.log";
const PID = "/run/lightvmd.pid";
const CONFIG = "/run/lightvmd.toml";
const READY = "lightvmd is ready";

/** lightvmd as a process of the box's dom0, started and ended as a service manager would. */
export class Daemon {
  readonly #box: Box;

  constructor(box: Box) {
    this.#box = box;
  }

  /** Starts it, on a configuration of its own if one is given, and waits until it serves the CRI. */
  async start(options: { config?: string; timeoutMs?: number } = {}): Promise<void> {
    const { config, timeoutMs = 60_000 } = options;
    if (config !== undefined) await this.#box.exec(`cat >${CONFIG}`, { input: config });
    const file = config === undefined ? "/etc/lightvm/config.toml" : CONFIG;
    const { code } = await this.#box.exec(
      [
        `: >${LOG}`,
        `setsid lightvmd --config ${file} </dev/null >/dev/null 2>${LOG} &`,
        `echo $! >${PID}`,
        // Ends with the log line, or with the process.
        `timeout ${Math.ceil(timeoutMs / 1000)} tail --pid=$! -n +1 -f ${LOG} | grep -q -m 1 '${READY}'`,
      ].join("\n"),
      { timeoutMs: timeoutMs + 10_000 },
    );
    if (code !== 0) {
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

  /** The end of what it has logged. */
  async log(lines = 60): Promise<string> {
    return (await this.#box.exec(`tail -n ${lines} ${LOG}`)).stdout;
  }
}
