// SPDX-License-Identifier: Apache-2.0
import { killInGuest } from "../../pod/guest-container.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import { endUnikernelSandbox } from "../../pod/unikernel-pod.ts";
import type { Logger } from "../../shared/logger.ts";

/** From the agent's Shutdown until the guest has powered off. */
const POWEROFF_MS = 10_000;

/**
 * Ends everything in a sandbox: its containers by SIGKILL, so that each has an exit code of its
 * own, then the VM. When it returns, all of that is written down. Idempotent.
 */
export async function endSandbox(
  sandbox: Sandbox,
  logger: Logger,
  signal: AbortSignal,
): Promise<void> {
  if (sandbox.unikernel !== undefined) return await endUnikernelSandbox(sandbox);
  const { vm } = sandbox;
  if (vm === undefined) return;
  if (vm.end === undefined) {
    const running = [...sandbox.containers.values()].filter(({ mayRun }) => mayRun);
    const kills = await Promise.allSettled(
      running.map((container) => killInGuest(vm, container, signal)),
    );
    for (const kill of kills) {
      // The end of the VM ends it too, only its exit code is not its own then.
      if (kill.status === "rejected") logger.warn({ error: kill.reason }, "a container resists");
    }
  }
  await vm.stop(POWEROFF_MS);
  await sandbox.concluded;
}
