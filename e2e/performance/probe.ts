// SPDX-License-Identifier: Apache-2.0

import { join } from "node:path";
import { build } from "esbuild";
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";
import type { Crowd } from "./probe/crowd.ts";
import type { ProbeRequest } from "./probe/main.ts";
import type { PodPlan, PodTimes } from "./probe/pod.ts";

const PROGRAM = "/run/probe.mjs";
/** A thousand pods in counted instructions take their time. */
const TIMEOUT_MS = 4 * 3600 * 1000;

/** Sockets of the runtimes that can be measured. */
export const SOCKETS = {
  lightvm: "/run/lightvm/lightvmd.sock",
  containerd: "/run/containerd/containerd.sock",
} as const;

/** The client that measures CRI calls, inside a box. */
export class Probe {
  readonly #box: Box;
  readonly #socket: string;

  private constructor(box: Box, socket: string) {
    this.#box = box;
    this.#socket = socket;
  }

  /** Puts the client into the box. */
  static async install(box: Box, runtime: keyof typeof SOCKETS): Promise<Probe> {
    const { outputFiles } = await build({
      entryPoints: [join(import.meta.dirname, "probe/main.ts")],
      bundle: true,
      write: false,
      platform: "node",
      target: "node24",
      format: "esm",
      banner: {
        js: 'import { createRequire } from "node:module"; const require = createRequire("/");',
      },
      logLevel: "warning",
    });
    const [program] = outputFiles;
    if (program === undefined) throw new LightvmError("internal", "esbuild has made nothing");
    const { code, stderr } = await box.exec(`cat >${PROGRAM}`, { input: program.contents });
    if (code !== 0) throw new LightvmError("unavailable", `no probe in the box: ${stderr}`);
    return new Probe(box, SOCKETS[runtime]);
  }

  /** Pods one after the other, each through its life. */
  async life(plan: PodPlan, options: { pods: number; execs: number }): Promise<PodTimes[]> {
    return await this.#ask({ do: "life", plan, ...options });
  }

  /** Pods side by side, that stay; milliseconds of each one's creation. */
  async fill(plan: PodPlan, pods: number): Promise<number[]> {
    return await this.#ask({ do: "fill", plan, pods });
  }

  /** What the pods cost that there are. */
  async look(idleMs: number): Promise<Crowd> {
    return await this.#ask({ do: "look", idleMs });
  }

  /** Removes all pods; milliseconds of each. */
  async empty(): Promise<number[]> {
    return await this.#ask({ do: "empty" });
  }

  async #ask<Answer>(request: ProbeRequest): Promise<Answer> {
    const { code, stderr, stdout } = await this.#box.exec(`node ${PROGRAM} ${this.#socket}`, {
      input: JSON.stringify(request),
      timeoutMs: TIMEOUT_MS,
    });
    if (code === 0) return JSON.parse(stdout) as Answer;
    throw new LightvmError("unavailable", `the probe could not ${request.do}: ${stderr}`);
  }
}
