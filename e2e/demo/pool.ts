// SPDX-License-Identifier: Apache-2.0
import { setTimeout as delay } from "node:timers/promises";
import { LightvmError } from "../../src/shared/errors.ts";
import type { Crictl } from "../framework/crictl.ts";
import type { Daemon } from "../framework/daemon.ts";
import type { Steps } from "./steps.ts";

const POD = { name: "demo-pool" };
const LOOK_MS = 500;
const FILL_MS = 120_000;

interface Step {
  readonly phase: string;
  readonly name: string;
  readonly nanoseconds: number;
}

/** Has lightvmd keep one booted VM, gives it to a pod, and turns the pool off again. */
export async function showPool(
  steps: Steps,
  daemon: Daemon,
  crictl: Crictl,
  settings: string,
): Promise<void> {
  await steps.step(
    "A pool (kill -HUP lightvmd): one VM boots before its pod is known",
    async () => {
      await daemon.reload(`${settings}\n[pool]\nsize = 1\n`);
      await untilWaiting(crictl, 1);
    },
  );
  const sandbox = await steps.step("crictl runp: the pod takes the VM that waits", () =>
    crictl.runPod(POD),
  );
  await steps.step("What lightvmd did for it", () => showSteps(crictl, sandbox));
  await steps.step("crictl stopp, crictl rmp; the pool off again", async () => {
    await daemon.reload(settings);
    await crictl.removePod(sandbox);
    await untilWaiting(crictl, 0);
  });
}

async function showSteps(crictl: Crictl, sandbox: string): Promise<string> {
  const { lightvm } = await crictl.json<{ lightvm: { breakdown: Step[] } }>(["inspectp", sandbox]);
  return lightvm.breakdown
    .filter(({ phase }) => phase === "toolstack")
    .map(({ name, nanoseconds }) => `${(nanoseconds / 1e6).toFixed(1).padStart(7)} ms  ${name}`)
    .join("\n");
}

/** Until so many shells wait, and no other one is left or being made. */
async function untilWaiting(crictl: Crictl, count: number): Promise<void> {
  const deadline = performance.now() + FILL_MS;
  for (;;) {
    const { lightvm } = await crictl.json<{
      lightvm: { pool: { kinds: { waiting: number; making: number }[]; leaving: number } };
    }>(["info"]);
    const { kinds, leaving } = lightvm.pool;
    const waiting = kinds.reduce((sum, kind) => sum + kind.waiting, 0);
    const making = kinds.reduce((sum, kind) => sum + kind.making, 0);
    if (waiting === count && making === 0 && leaving === 0) return;
    if (performance.now() > deadline) {
      throw new LightvmError("deadline-exceeded", `${waiting} shells wait instead of ${count}`);
    }
    await delay(LOOK_MS);
  }
}
