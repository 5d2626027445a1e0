// SPDX-License-Identifier: Apache-2.0
import type { ProcessExited } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import { LightvmError } from "../../shared/errors.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";

/** Names one more process of a container. */
export interface ExecId {
  readonly containerId: string;
  readonly execId: string;
}

/** The exit of an exec, or the end of the VM as an error; to be asked for before it is started. */
export function exitOfExec(
  sandbox: Sandbox,
  vm: PodVm,
  id: ExecId,
  cleanup: AsyncDisposableStack,
): Promise<ProcessExited> {
  const { promise, resolve, reject } = Promise.withResolvers<ProcessExited>();
  promise.catch(() => undefined);
  const unsubscribe = vm.onProcessExited((exit) => {
    if (exit.containerId === id.containerId && exit.execId === id.execId) resolve(exit);
  });
  cleanup.defer(unsubscribe);
  cleanup.defer(
    // Probes come for as long as the pod lives: a listener each on a promise would pile up.
    sandbox.onEnd((message) => reject(new LightvmError("unavailable", message))),
  );
  return promise;
}
