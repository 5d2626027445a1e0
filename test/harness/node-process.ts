// SPDX-License-Identifier: Apache-2.0
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { PodStore } from "../../src/pod/pod-store.ts";
import { Database } from "../../src/shared/database.ts";
import { type CriEndpoint, connectCri } from "./cri-endpoint.ts";
import { benchConfig } from "./node-life.ts";
import { ToolstackBench } from "./toolstack-bench.ts";
import type { VmmBehaviour } from "./vmm-behaviour.ts";

const PROGRAM = resolve(import.meta.dirname, "lightvmd-process.ts");

/** A node like NodeBench's whose lightvmd is a process of its own, to be killed with -9. */
export class NodeProcess implements AsyncDisposable {
  readonly toolstackBench: ToolstackBench;
  readonly endpoint: CriEndpoint;
  #process: ChildProcess | undefined;

  private constructor(toolstackBench: ToolstackBench) {
    this.toolstackBench = toolstackBench;
    this.endpoint = connectCri(toolstackBench.root);
  }

  static async start(behaviour: VmmBehaviour): Promise<NodeProcess> {
    const toolstackBench = new ToolstackBench(behaviour);
    mkdirSync(benchConfig(toolstackBench.root).state_directory, { recursive: true });
    const node = new NodeProcess(toolstackBench);
    await node.revive();
    return node;
  }

  /** kill -9. Returns when the process is gone. */
  async kill(): Promise<void> {
    const running = this.#process;
    if (running === undefined) return;
    this.#process = undefined;
    const exited = once(running, "exit");
    running.kill("SIGKILL");
    await exited;
  }

  /** The next lightvmd, over the same directories. Throws what it says when it does not start. */
  async revive(): Promise<void> {
    const started = spawn(process.execPath, [PROGRAM, this.toolstackBench.root], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(createInterface(started.stdout), "line")) as [string];
    if (line !== "ready") throw new Error(line);
    this.#process = started;
  }

  /** Changes records while no lightvmd is there, to what one that was killed would have left. */
  edit<T>(change: (store: PodStore, database: Database) => T): T {
    using database = new Database(join(this.toolstackBench.root, "state", "state.db"));
    return change(new PodStore(database), database);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.endpoint.close();
    await this.kill();
    this.toolstackBench[Symbol.dispose]();
  }
}
