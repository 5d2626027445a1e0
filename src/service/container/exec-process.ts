// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import type { ProcessExited } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { Container } from "../../pod/container.ts";
import type { Pods } from "../../pod/pods.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import { LightvmError } from "../../shared/errors.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";

/** Names one more process of a container. */
export interface ExecId {
  readonly containerId: string;
  readonly execId: string;
}

/** One more process for a running container, before it is started. */
export interface ExecProcess {
  readonly id: ExecId;
  readonly container: Container;
  readonly sandbox: Sandbox;
  readonly vm: PodVm;
}

/** Throws "not-found" without that container, "failed-precondition" when it or its VM does not run. */
export function newExec(pods: Pods, containerId: string): ExecProcess {
  const container = pods.getContainer(containerId);
  container.require("running", "execute a command");
  const sandbox = pods.sandboxOf(container);
  const vm = sandbox.requireVm();
  const id = { containerId: container.id, execId: randomBytes(16).toString("hex") };
  return { id, container, sandbox, vm };
}

/** The exit of an exec, or the end of the VM as an error; to be asked for before it is started. */
export function exitOfExec(
  { id, sandbox, vm }: ExecProcess,
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
