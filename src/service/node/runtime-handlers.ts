// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../shared/errors.ts";

/** Pods of this handler boot the kernel of their container's image. */
const UNIKERNEL_HANDLER = "lightvm-unikernel";

/** The same for a pod of any handler of ours, when it is "true". */
export const UNIKERNEL_ANNOTATION = "io.lightvm/unikernel";

/** What a RuntimeClass may name; "" is the default. */
export const RUNTIME_HANDLERS: readonly string[] = ["", "lightvm", UNIKERNEL_HANDLER];

/** Throws "invalid-argument" when there is no such handler. */
export function checkRuntimeHandler(name: string): void {
  if (!RUNTIME_HANDLERS.includes(name)) {
    throw new LightvmError(
      "invalid-argument",
      `there is no runtime handler "${name}"; this node has "lightvm", which is the default too, ` +
        `and "${UNIKERNEL_HANDLER}"`,
    );
  }
}

/** Whether a pod says that its container is a unikernel. */
export function isForUnikernels(pod: {
  readonly runtimeHandler: string;
  readonly annotations: Readonly<Record<string, string>>;
}): boolean {
  return (
    pod.runtimeHandler === UNIKERNEL_HANDLER || pod.annotations[UNIKERNEL_ANNOTATION] === "true"
  );
}
