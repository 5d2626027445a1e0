// SPDX-License-Identifier: Apache-2.0
import { describeError, LightvmError } from "../shared/errors.ts";
import { waitFor } from "../shared/wait.ts";
import type { PodVm } from "../toolstack/pod-vm.ts";
import { AgentError } from "../vmm/failures.ts";
import type { Container } from "./container.ts";
import { now } from "./persisted.ts";

/** containerd's convention for a process that could not be started. */
const EXIT_CODE_START_ERROR = 128;
const SIGKILL = 9;
/** From SIGKILL until the agent has reaped everything, under emulation too. */
const KILL_TIMEOUT_MS = 20_000;

/**
 * Starts the container's process. "starting" is written down first, so that a restart knows that
 * the process may run. When the guest refuses, the container has exited with StartError. `again`:
 * a start was sent before, and that the container is not startable means that it runs.
 *
 * Takes no signal: the process must not start behind the back of a caller who has given up.
 */
export async function startInGuest(
  vm: PodVm,
  container: Container,
  options: { again: boolean },
): Promise<void> {
  const neverAborted = new AbortController().signal;
  container.update({ starting: true });
  try {
    const call = { $case: "startContainer", value: { containerId: container.id } } as const;
    await vm.call(call, { signal: neverAborted });
  } catch (error) {
    const runs = error instanceof LightvmError && error.code === "failed-precondition";
    if (!(options.again && runs)) {
      if (!(error instanceof AgentError)) await killUnanswered(vm, container, neverAborted);
      container.settle({
        at: now(),
        code: EXIT_CODE_START_ERROR,
        reason: "StartError",
        message: describeError(error),
      });
      throw error;
    }
  }
  container.update({ startedAt: now() });
}

/** The guest has not said whether it has started the container: it shall not run. */
async function killUnanswered(vm: PodVm, container: Container, signal: AbortSignal): Promise<void> {
  try {
    await signalInGuest(vm, container, SIGKILL, { all: true, signal });
  } catch {
    // A guest that answers neither call is about to be taken for lost; the first error is told.
  }
}

/** Sends a Linux signal to the container; no error when its process has ended already. */
export async function signalInGuest(
  vm: PodVm,
  container: Container,
  number: number,
  options: { all: boolean; signal: AbortSignal },
): Promise<void> {
  const value = { containerId: container.id, execId: "", signal: number, all: options.all };
  try {
    await vm.call({ $case: "signal", value }, { signal: options.signal });
  } catch (error) {
    if (isGone(error)) return;
    throw error;
  }
}

/** Ends every process of the container and waits until that is known. */
export async function killInGuest(
  vm: PodVm,
  container: Container,
  signal: AbortSignal,
): Promise<void> {
  let cause: unknown;
  try {
    await signalInGuest(vm, container, SIGKILL, { all: true, signal });
  } catch (error) {
    // When the VM is ending, so is the container; otherwise the wait below fails and says why.
    cause = error;
  }
  try {
    await waitFor(container.exited, "its end", { signal, timeoutMs: KILL_TIMEOUT_MS });
  } catch (error) {
    throw new LightvmError(
      error instanceof LightvmError ? error.code : "internal",
      `container ${container.id} cannot be killed`,
      { cause: cause ?? error },
    );
  }
}

/**
 * Unmounts and forgets the container in the guest, where it must not run, then takes its volumes and
 * devices from the guest. Idempotent.
 */
export async function removeFromGuest(
  vm: PodVm,
  containerId: string,
  signal: AbortSignal,
): Promise<void> {
  if (vm.end !== undefined) return;
  try {
    await vm.call({ $case: "removeContainer", value: { containerId } }, { signal });
  } catch (error) {
    const unknown = error instanceof LightvmError && error.code === "not-found";
    if (!unknown && vm.end === undefined) throw error;
  }
  await vm.detachVolumes(containerId);
  await vm.detachDevices(containerId);
}

function isGone(error: unknown): boolean {
  return (
    error instanceof LightvmError &&
    (error.code === "not-found" || error.code === "failed-precondition")
  );
}
