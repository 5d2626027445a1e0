// SPDX-License-Identifier: Apache-2.0
import type { Container } from "../../pod/container.ts";
import { killInGuest, signalInGuest } from "../../pod/guest-container.ts";
import { stopUnikernel } from "../../pod/unikernel-pod.ts";
import { LightvmError } from "../../shared/errors.ts";
import { waitFor } from "../../shared/wait.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";
import type { NodeContext } from "../node-context.ts";

/** setTimeout cannot wait longer. */
const MAX_WAIT_MS = 2 ** 31 - 1;

/**
 * StopContainer: the stop signal, and SIGKILL when `timeoutMs` is over (0 = at once). Nothing
 * there or nothing running = nothing to do.
 */
export async function stopContainer(
  { pods }: NodeContext,
  request: { readonly id: string; readonly timeoutMs: number },
  signal: AbortSignal,
): Promise<void> {
  const container = pods.findContainer(request.id);
  if (container === undefined || !container.mayRun) return;
  const sandbox = pods.sandboxOf(container);
  const timeoutMs = Math.min(request.timeoutMs, MAX_WAIT_MS);
  if (sandbox.unikernel !== undefined) {
    // One that is being started has no VM yet that could be asked.
    const lock = await container.lock.acquire(`the stop of container ${container.id}`, signal);
    lock[Symbol.dispose]();
    await waitFor(stopUnikernel(sandbox, container, timeoutMs), "the stop", { signal });
    return;
  }
  if (sandbox.vm === undefined || sandbox.vm.end !== undefined) {
    await sandbox.concluded;
    return;
  }
  if (timeoutMs > 0 && (await endsByItself(sandbox.vm, container, timeoutMs, signal))) return;
  await killInGuest(sandbox.vm, container, signal);
}

async function endsByItself(
  vm: PodVm,
  container: Container,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const { stopSignal } = container.metadata.process;
  await signalInGuest(vm, container, stopSignal, { all: false, signal });
  try {
    await waitFor(container.exited, `the end of container ${container.id}`, { timeoutMs, signal });
    return true;
  } catch (error) {
    if (error instanceof LightvmError && error.code === "deadline-exceeded") return false;
    throw error;
  }
}
