// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import { Crictl } from "../framework/crictl.ts";

/** One step of a create, as `crictl inspectp` shows it. */
export interface Step {
  readonly phase: "prepare" | "execute" | "toolstack";
  readonly name: string;
  readonly nanoseconds: number;
  readonly hypercalls: number;
  readonly bytesCopied: number;
}

/** What one pod cost. */
export interface PodSample {
  readonly steps: readonly Step[];
  /** Bytes of the VMM process that nobody shares. */
  readonly vmmPrivateBytes: number;
  readonly vmmResidentBytes: number;
  /** What Xen's free memory shrank by while the pod ran: guest RAM and Xen's own, bytes. */
  readonly xenBytes: number;
}

/** Milliseconds that the toolstack steps of these names took together. */
export function milliseconds({ steps }: PodSample, names: readonly string[]): number {
  const chosen = steps.filter(({ phase, name }) => phase === "toolstack" && names.includes(name));
  if (chosen.length !== names.length) throw new Error(`no step of ${names.join(", ")}`);
  return chosen.reduce((sum, { nanoseconds }) => sum + nanoseconds, 0) / 1e6;
}

async function number(box: Box, command: string): Promise<number> {
  const { stdout, code } = await box.exec(command, { timeoutMs: 300_000 });
  if (code !== 0 || stdout.trim() === "") throw new Error(`no figure from: ${command}`);
  return Number(stdout);
}

/** What Xen has to give away. */
export async function freeMemoryBytes(box: Box): Promise<number> {
  return (await number(box, "xl info | sed -n 's/^free_memory *: //p'")) * 2 ** 20;
}

/** Runs one pod without a container, looks at it, removes it. */
export async function samplePod(box: Box, name: string): Promise<PodSample> {
  const crictl = new Crictl(box);
  const freeBefore = await freeMemoryBytes(box);
  const sandbox = await crictl.runPod({ name });
  // crictl puts each item of the verbose information beside the status.
  const { lightvm } = await crictl.json<{ lightvm: { breakdown: Step[] } }>(["inspectp", sandbox]);
  const rollup = (field: string) =>
    number(
      box,
      `awk '/^${field}/ { sum += $2 } END { print sum }' /proc/$(pgrep -x lightvm-vmm)/smaps_rollup`,
    );
  const sample = {
    steps: lightvm.breakdown,
    vmmPrivateBytes: (await rollup("Private_(Clean|Dirty)")) * 1024,
    vmmResidentBytes: (await rollup("Rss")) * 1024,
    xenBytes: freeBefore - (await freeMemoryBytes(box)),
  };
  await crictl.removePod(sandbox);
  return sample;
}
