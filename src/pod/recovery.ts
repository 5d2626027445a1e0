// SPDX-License-Identifier: Apache-2.0
//
// What lightvmd does before it serves anyone: it finds out what has become of the pods that it
// remembers. A verb that was cut off is finished when the caller had to count on it (start, stop,
// remove), and undone when nobody was told of its result (run, create).

import type { Network } from "../network/network.ts";
import { describeError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import type { PodVm } from "../toolstack/pod-vm.ts";
import type { Toolstack } from "../toolstack/toolstack.ts";
import type { Container } from "./container.ts";
import { killInGuest, removeFromGuest, startInGuest } from "./guest-container.ts";
import { now } from "./persisted.ts";
import type { Pods } from "./pods.ts";
import type { Sandbox } from "./sandbox.ts";
import { catchUp, settleSandbox, supervise } from "./supervision.ts";
import { startUnikernel, superviseUnikernel, type UnikernelTools } from "./unikernel-pod.ts";

export interface RecoveryContext {
  readonly pods: Pods;
  readonly network: Network;
  readonly toolstack: Toolstack;
  readonly logger: Logger;
}

/**
 * Adopts what lives, writes down what has ended, finishes or undoes what was cut off, destroys
 * what belongs to nobody. One pod's trouble is logged and does not keep the others. Throws only
 * when `signal` is aborted.
 */
export async function recover(context: RecoveryContext, signal: AbortSignal): Promise<void> {
  const { network, pods, toolstack, logger } = context;
  await Promise.all(
    pods.all().map(async (sandbox) => {
      try {
        await recoverSandbox(context, sandbox, signal);
      } catch (error) {
        // Told to end meanwhile: what was not found yet is left to the next lightvmd.
        if (signal.aborted) throw error;
        logger.error({ error, pod: sandbox.id }, "a pod could not be recovered");
        const message = `it could not be found again: ${describeError(error)}`;
        // Also one that was being created: only who can see it can remove it, and free its name.
        settleSandbox(sandbox, { message, at: now() }, logger);
      }
    }),
  );
  try {
    await toolstack.adoptShells(signal);
  } catch (error) {
    signal.throwIfAborted();
    logger.error({ error }, "shells that waited for pods could not be found again");
  }
  try {
    await toolstack.destroyOrphans(new Set(pods.all().map(({ id }) => id)));
  } catch (error) {
    logger.error({ error }, "what is left of unknown pods could not be destroyed");
  }
  await network.collectGarbage(new Set(pods.all().map(({ id }) => id)));
}

async function recoverSandbox(
  context: RecoveryContext,
  sandbox: Sandbox,
  signal: AbortSignal,
): Promise<void> {
  const { network, pods, toolstack, logger } = context;
  const { status } = sandbox;
  const vm = await toolstack.adopt(sandbox.vmSpec, signal);
  if (status.readyAt === undefined || status.removing) {
    await vm?.destroy();
    await network.detach(sandbox.id);
    pods.removeSandbox(sandbox);
    logger.info({ pod: sandbox.id }, "removed a pod that was cut off");
    return;
  }
  if (sandbox.unikernel !== undefined) {
    await recoverUnikernel(context, sandbox, vm);
    return;
  }
  if (vm === undefined) {
    const message = "nothing of it is left; the machine may have restarted";
    settleSandbox(sandbox, { message, at: now() }, logger);
  } else if (status.end === undefined) {
    supervise(sandbox, vm, logger);
    if (vm.end === undefined) await catchUp(sandbox, vm, logger);
    else await sandbox.concluded;
  } else sandbox.vm = vm;
  for (const container of [...sandbox.containers.values()]) {
    await recoverContainer(context, sandbox, container, signal);
  }
  logger.info({ pod: sandbox.id, domid: vm?.domid, state: sandbox.state }, "found a pod again");
}

/**
 * A VM that lives, or has ended, is that of the container that was being started last. A pod without
 * one gets its shell back when a container needs it.
 */
async function recoverUnikernel(
  context: RecoveryContext,
  sandbox: Sandbox,
  vm: PodVm | undefined,
): Promise<void> {
  const { network, pods, toolstack, logger } = context;
  for (const container of [...sandbox.containers.values()]) {
    if (container.state === "creating" || container.status.removing) {
      if (container.mayRun) await vm?.stop(0);
      pods.removeContainer(sandbox, container);
    } else if (!container.mayRun) continue;
    else if (vm !== undefined) {
      superviseUnikernel(sandbox, container, vm, logger);
      if (container.state === "created") container.update({ startedAt: now() });
    } else if (container.state === "created" && sandbox.state === "ready") {
      await finishUnikernelStart({ network, toolstack, logger }, sandbox, container);
    } else {
      const message = "nothing of its VM is left; the machine may have restarted";
      container.settle({ at: now(), code: 255, reason: "Error", message });
    }
  }
  if (vm !== undefined && sandbox.unikernel?.vm !== vm) await vm.destroy();
  logger.info({ pod: sandbox.id, state: sandbox.state }, "found a pod of unikernels again");
}

/** The start was sent, but not its result. */
async function finishUnikernelStart(
  tools: UnikernelTools,
  sandbox: Sandbox,
  container: Container,
): Promise<void> {
  try {
    await startUnikernel(tools, sandbox, container);
  } catch (error) {
    tools.logger.warn({ error, container: container.id }, "a container could not be started");
  }
}

async function recoverContainer(
  { pods, logger }: RecoveryContext,
  sandbox: Sandbox,
  container: Container,
  signal: AbortSignal,
): Promise<void> {
  const vm = sandbox.vm?.end === undefined ? sandbox.vm : undefined;
  if (container.state === "creating" || container.status.removing) {
    if (vm !== undefined) await removeFromVm(vm, container, signal);
    pods.removeContainer(sandbox, container);
    logger.info({ container: container.id }, "removed a container that was cut off");
  } else if (vm !== undefined && container.mayRun && container.state === "created") {
    await finishStart(vm, container, logger);
  }
}

async function removeFromVm(vm: PodVm, container: Container, signal: AbortSignal): Promise<void> {
  if (container.mayRun) await killInGuest(vm, container, signal);
  await removeFromGuest(vm, container.id, signal);
}

/** The start was sent, but not its result: the guest starts it now, or says that it runs. */
async function finishStart(vm: PodVm, container: Container, logger: Logger): Promise<void> {
  try {
    await startInGuest(vm, container, { again: true });
  } catch (error) {
    // It is settled as StartError; the caller of then is not there to be told.
    logger.warn({ error, container: container.id }, "a container could not be started");
  }
}
