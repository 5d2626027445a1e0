// SPDX-License-Identifier: Apache-2.0
import type { ProcessExited } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { Logger } from "../shared/logger.ts";
import type { PodVm, PodVmEnd } from "../toolstack/pod-vm.ts";
import type { ContainerExit } from "./container-record.ts";
import { now } from "./persisted.ts";
import type { Sandbox } from "./sandbox.ts";

/** Exit code of a container that was still there when its VM ended. */
const EXIT_CODE_VM_GONE = 255;

/**
 * Joins a sandbox with its VM: from now on, what happens in the VM is written down, container by
 * container, and the end of the VM as the end of them all. `sandbox.concluded` follows the end.
 */
export function supervise(sandbox: Sandbox, vm: PodVm, logger: Logger): void {
  sandbox.vm = vm;
  const log = logger.child({ pod: sandbox.id });
  const unsubscribe = vm.onProcessExited((exit) => {
    if (exit.execId === "") settleContainer(sandbox, exit, log);
  });
  sandbox.concluded = vm.ended.then(async (end) => {
    unsubscribe();
    try {
      for (const exit of await vm.containerExits()) settleContainer(sandbox, exit, log);
    } catch (error) {
      log.error({ error }, "cannot read how containers exited");
    }
    settleSandbox(sandbox, end, log);
  });
}

/** Writes down what a VM that ran while no lightvmd was there has to tell. */
export async function catchUp(sandbox: Sandbox, vm: PodVm, logger: Logger): Promise<void> {
  for (const exit of await vm.containerExits()) settleContainer(sandbox, exit, logger);
}

/** The end of a sandbox: its own, and that of each container that may have run until then. */
export function settleSandbox(
  sandbox: Sandbox,
  end: Pick<PodVmEnd, "message" | "at">,
  logger: Logger,
): void {
  const message = `the pod's VM has ended: ${end.message}`;
  try {
    for (const container of sandbox.containers.values()) {
      if (!container.mayRun) continue;
      container.settle({ at: end.at, code: EXIT_CODE_VM_GONE, reason: "Error", message });
    }
    sandbox.settle({ at: end.at, message });
  } catch (error) {
    logger.error({ error }, "cannot write down how a sandbox ended");
  }
}

function settleContainer(sandbox: Sandbox, exit: ProcessExited, logger: Logger): void {
  const container = sandbox.containers.get(exit.containerId);
  if (container === undefined || container.status.exit !== undefined) return;
  const settled = containerExit(exit);
  try {
    container.settle(settled);
  } catch (error) {
    logger.error({ error, container: container.id }, "cannot write down how a container exited");
  }
  const { code, reason } = settled;
  logger.info({ container: container.id, code, reason }, "a container has exited");
}

/** The exit that the agent told, in the words of the CRI. What the guest says is untrusted. */
export function containerExit(exit: ProcessExited): ContainerExit {
  const age = exit.ageNanoseconds < now() ? exit.ageNanoseconds : 0n;
  const code = exit.exitCode & 0xff;
  const at = now() - age;
  if (exit.outOfMemory) {
    return { at, code, reason: "OOMKilled", message: "the container's memory limit was reached" };
  }
  return { at, code, reason: code === 0 ? "Completed" : "Error", message: "" };
}
