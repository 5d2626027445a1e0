// SPDX-License-Identifier: Apache-2.0
import { VERSION } from "../../shared/version.ts";

/** How this runtime is called where Kubernetes shows one ("lightvm://0.1.0"). */
export const RUNTIME_NAME = "lightvm";

/** Version. */
export function runtimeVersion(): { readonly name: string; readonly version: string } {
  return { name: RUNTIME_NAME, version: VERSION };
}
