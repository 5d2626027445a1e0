// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";
import { SHELL_LEVELS, type ShellLevel } from "../../src/toolstack/shell-record.ts";
import type { Box } from "../box/box.ts";
import { Crictl } from "../framework/crictl.ts";
import type { Daemon } from "../framework/daemon.ts";
import type { Step } from "./ours.ts";

/** How often a pool that is being filled is looked at; real milliseconds. */
const LOOK_MS = 2000;

/** Pods that took shells of one level. */
export interface LevelSample {
  readonly level: ShellLevel;
  /** The whole toolstack call, in virtual milliseconds. */
  readonly create: number[];
  /** From the taking of the shell until it is unpaused. */
  readonly execute: number[];
  /** Where the time of the last one went. */
  readonly steps: readonly Step[];
}

/** Settings of a box's lightvmd with a pool, in which deadlines are those of an emulated machine. */
export function levelSettings(level: ShellLevel, size: number): string {
  return `
[vm]
boot_timeout_seconds = 60
vmm_timeout_seconds = 60
[pool]
size = ${size}
level = "${level}"
`;
}

/** Starts pods from a pool at each level, one after the other. lightvmd must run on `daemon`'s file. */
export async function sampleLevels(box: Box, daemon: Daemon, pods: number): Promise<LevelSample[]> {
  const samples: LevelSample[] = [];
  await daemon.end();
  await daemon.start({ config: levelSettings("prepared", 0), timeoutMs: 600_000 });
  for (const level of SHELL_LEVELS) {
    const sample: LevelSample = { level, create: [], execute: [], steps: [] };
    for (let i = 0; i < pods; i++) {
      console.error(`[bench] ${level} shell ${i + 1}/${pods}`);
      await daemon.reload(levelSettings(level, 1));
      await untilWaiting(box, 1);
      const steps = await stepsOfPod(box, `${level}-${i}`);
      const own = steps.filter(({ phase }) => phase === "toolstack");
      const taken = own.findIndex(({ name }) => name === `take a ${level} shell`);
      const unpaused = own.findIndex(({ name }) => name === "unpause");
      if (taken === -1 || unpaused === -1) throw new Error(`no ${level} shell was taken`);
      sample.create.push(total(own));
      sample.execute.push(total(own.slice(taken, unpaused + 1)));
      Object.assign(sample, { steps });
    }
    samples.push(sample);
  }
  await daemon.reload(levelSettings("prepared", 0));
  await untilWaiting(box, 0);
  return samples;
}

function total(steps: readonly Step[]): number {
  return steps.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0) / 1e6;
}

async function stepsOfPod(box: Box, name: string): Promise<readonly Step[]> {
  const crictl = new Crictl(box);
  const sandbox = await crictl.runPod({ name });
  const { lightvm } = await crictl.json<{ lightvm: { breakdown: Step[] } }>(["inspectp", sandbox]);
  await crictl.removePod(sandbox);
  return lightvm.breakdown;
}

export async function untilWaiting(box: Box, count: number): Promise<void> {
  const crictl = new Crictl(box);
  for (;;) {
    const { lightvm } = await crictl.json<{ lightvm: { pool: { kinds: { waiting: number }[] } } }>([
      "info",
    ]);
    const waiting = lightvm.pool.kinds.reduce((sum, kind) => sum + kind.waiting, 0);
    if (waiting === count) return;
    await delay(LOOK_MS);
  }
}
