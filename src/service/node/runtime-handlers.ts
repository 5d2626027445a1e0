// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../shared/errors.ts";

/** What a RuntimeClass may name; "" is the default. */
export const RUNTIME_HANDLERS: readonly string[] = ["", "lightvm"];

/** Throws "invalid-argument" when there is no such handler. */
export function checkRuntimeHandler(name: string): void {
  if (!RUNTIME_HANDLERS.includes(name)) {
    throw new LightvmError(
      "invalid-argument",
      `there is no runtime handler "${name}"; this node has "lightvm", which is the default too`,
    );
  }
}
