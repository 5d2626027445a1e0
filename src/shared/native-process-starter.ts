// SPDX-License-Identifier: Apache-2.0
import { createRequire } from "node:module";
import { Socket } from "node:net";
import { LightvmError } from "./errors.ts";
import type {
  ProcessExit,
  ProcessStarter,
  StartedFilter,
  StartedServer,
} from "./process-starter.ts";

/** The part of native/addon that is used here (native/addon/index.d.ts). */
interface Addon {
  startServer(program: string, args: string[], log: number): { pid: number; control: number };
  startFilter(
    program: string,
    environment: string[],
  ): { pid: number; stdin: number; stdout: number; stderr: number };
  reapProcess(pid: number): { exitCode?: number; signal?: string } | null;
}

/** Starts processes through the Node-API addon. */
export class NativeProcessStarter implements ProcessStarter {
  readonly #addon: Addon;

  constructor(addon: Addon) {
    this.#addon = addon;
  }

  /** Loads the addon. Throws "unavailable" when it is missing or does not fit this Node. */
  static load(path: string): NativeProcessStarter {
    try {
      return new NativeProcessStarter(createRequire(import.meta.url)(path) as Addon);
    } catch (cause) {
      throw new LightvmError("unavailable", `cannot load the native addon ${path}`, { cause });
    }
  }

  startServer(program: string, args: readonly string[], log: number): StartedServer {
    const { control, pid } = attempt(`start ${program}`, () =>
      this.#addon.startServer(program, [...args], log),
    );
    return { pid, control: new Socket({ fd: control }) };
  }

  startFilter(program: string, environment: Readonly<Record<string, string>>): StartedFilter {
    const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
    const { pid, stderr, stdin, stdout } = attempt(`start ${program}`, () =>
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
    const exit = attempt(`wait for process ${pid}`, () => this.#addon.reapProcess(pid));
    if (exit === null) return undefined;
    const { exitCode = null, signal = null } = exit;
    return { exitCode, signal: signal as NodeJS.Signals | null };
  }
}

function attempt<T>(what: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new LightvmError("unavailable", `cannot ${what}`, { cause });
  }
}
