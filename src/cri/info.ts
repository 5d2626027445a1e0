// SPDX-License-Identifier: Apache-2.0
import { RUNTIME_NAME } from "../service/node/version.ts";

/** The `info` map of a verbose answer: JSON under the runtime's name; empty when not asked for. */
export function info(verbose: boolean, details: () => object): Record<string, string> {
  return verbose ? { [RUNTIME_NAME]: JSON.stringify(details()) } : {};
}
