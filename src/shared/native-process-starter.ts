// SPDX-License-Identifier: Apache-2.0
import { Socket } from "node:net";
import { callAddon, type NativeAddon } from "./native-addon.ts";
import type {
  ProcessExit,
  ProcessStarter,
  StartedFilter,
  StartedServer,
} from "./process-starter.ts";

type Addon = Pick<NativeAddon, "startServer" | "startFilter" | "reapProcess">;

/** Starts processes through the Node-API addon. */
export class NativeProcessStarter implements ProcessStarter {
  readonly #addon: Addon;
  #ended: PromiseWithResolvers<void> = Promise.withResolvers();

  constructor(addon: Addon) {
    this.#addon = addon;
    // Not one listener a child: one signal may stand for the ends of many. It keeps no process running.
    process.on("SIGCHLD", () => {
      this.#ended.resolve();
      this.#ended = Promise.withResolvers();
    });
  }

  startServer(
    program: string,
    args: readonly string[],
    log: number,
    more: readonly number[] = [],
  ): StartedServer {
    const { control, pid } = callAddon("unavailable", `start ${program}`, () =>
      this.#addon.startServer(program, [...args], log, [...more]),
    );
    return { pid, control: new Socket({ fd: control }) };
  }

  startFilter(program: string, environment: Readonly<Record<string, string>>): StartedFilter {
    const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const { pid, stderr, stdin, stdout } = callAddon("unavailable", `start ${program}`, () =>
      this.#addon.startFilter(program, variables),
    );
    return {
      pid,
      stdin: new Socket({ fd: stdin, readable: false, writable: true }),
      stdout: new Socket({ fd: stdout, readable: true, writable: false }),
      stderr: new Socket({ fd: stderr, readable: true, writable: false }),
    };
  }

  reap(pid: number): ProcessExit | undefined {
    const exit = callAddon("unavailable", `wait for process ${pid}`, () =>
      this.#addon.reapProcess(pid),
    );
    if (exit === null) return undefined;
    const { exitCode = null, signal = null } = exit;
    return { exitCode, signal: signal as NodeJS.Signals | null };
  }

  nextEnd(): Promise<void> {
    return this.#ended.promise;
  }
}
