// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { Socket } from "node:net";
import { LightvmError } from "../../src/shared/errors.ts";
import type {
  ProcessExit,
  ProcessStarter,
  StartedFilter,
  StartedServer,
} from "../../src/shared/process-starter.ts";

/** Real processes, in Node's own way: tests without a box have no addon. */
export class NodeProcessStarter implements ProcessStarter {
  readonly #exits = new Map<number, ProcessExit>();
  #ended = Promise.withResolvers<void>();

  startServer(
    program: string,
    args: readonly string[],
    log: number,
    more: readonly number[] = [],
  ): StartedServer {
    const stdio = ["ignore" as const, log, log, "pipe" as const, ...more];
    const child = spawn(program, args, { cwd: "/", detached: true, env: {}, stdio });
    const pid = this.#watch(program, child);
    const control = child.stdio[3];
    if (!(control instanceof Socket)) throw new Error("Node makes its pipes of sockets no more");
    return { pid, control };
  }

  startFilter(program: string, env: Readonly<Record<string, string>>): StartedFilter {
    const child = spawn(program, [], { env, stdio: ["pipe", "pipe", "pipe"] });
    const pid = this.#watch(program, child);
    const { stderr, stdin, stdout } = child;
    return { pid, stderr, stdin, stdout };
  }

  reap(pid: number): ProcessExit | undefined {
    return this.#exits.get(pid);
  }

  nextEnd(): Promise<void> {
    return this.#ended.promise;
  }

  #watch(program: string, child: ChildProcess): number {
    // Said below.
    child.once("error", () => undefined);
    child.unref();
    const { pid } = child;
    if (pid === undefined) throw new LightvmError("unavailable", `cannot start ${program}`);
    child.once("exit", (exitCode, signal) => {
      this.#exits.set(pid, { exitCode, signal });
      this.#ended.resolve();
      this.#ended = Promise.withResolvers();
    });
    return pid;
  }
}
