// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import type { Crowd, Filled } from "./probe/crowd.ts";
import type { Lives, ProbeRequest } from "./probe/main.ts";
import type { PodPlan, PodTimes } from "./probe/pod.ts";
import { BoxProgram } from "./program.ts";

/** Where a runtime is reached that can be measured, and what its processes are. */
const RUNTIMES = {
  lightvm: {
    socket: "/run/lightvm/lightvmd.sock",
    processes: { daemonPidFile: "/run/lightvmd.pid", helper: "lightvm-vmm" },
  },
  containerd: {
    socket: "/run/containerd/containerd.sock",
    processes: { daemonPidFile: "/run/peer/containerd.pid", helper: "containerd-shim-runc-v2" },
  },
} as const;

export type Runtime = keyof typeof RUNTIMES;

/** The client that measures CRI calls, inside a box: the same one for every runtime. */
export class Probe {
  readonly #program: BoxProgram;
  readonly #runtime: (typeof RUNTIMES)[Runtime];

  private constructor(program: BoxProgram, runtime: Runtime) {
    this.#program = program;
    this.#runtime = RUNTIMES[runtime];
  }

  /** Puts the client into the box. */
  static async install(box: Box, runtime: Runtime): Promise<Probe> {
    return new Probe(await BoxProgram.install(box, "probe/main.ts"), runtime);
  }

  /** Pods one after the other, each through its life. */
  async life(plan: PodPlan, options: Lives): Promise<PodTimes[]> {
    return await this.#ask({ do: "life", plan, ...options });
  }

  /** Pods side by side, that stay. */
  async fill(plan: PodPlan, pods: number): Promise<Filled> {
    return await this.#ask({ do: "fill", plan, pods });
  }

  /** What the pods cost that there are. */
  async look(idleMs: number): Promise<Crowd> {
    return await this.#ask({ do: "look", processes: this.#runtime.processes, idleMs });
  }

  /** Removes all pods; milliseconds of each. */
  async empty(): Promise<number[]> {
    return await this.#ask({ do: "empty" });
  }

  async #ask<Answer>(request: ProbeRequest): Promise<Answer> {
    return await this.#program.ask(request, [this.#runtime.socket]);
  }
}
