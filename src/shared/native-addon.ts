// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { type ErrorCode, LightvmError } from "./errors.ts";

/** What the Node-API addon exports. */
export type NativeAddon = typeof import("../../native/addon/index.d.ts");

/** Loads the addon. Throws "unavailable" when it is missing or does not fit this Node. */
export function loadAddon(path: string): NativeAddon {
  if (!existsSync(path)) {
    throw new LightvmError("unavailable", `the native addon is missing: ${path}`);
  }
  try {
    return createRequire(import.meta.url)(path) as NativeAddon;
  } catch (cause) {
    throw new LightvmError("unavailable", `cannot load the native addon ${path}`, { cause });
  }
}

/** Calls the addon; `what` is what cannot be done when it throws, `code` that failure's kind. */
export function callAddon<T>(code: ErrorCode, what: string, call: () => T): T {
  try {
    return call();
  } catch (cause) {
    throw new LightvmError(code, `cannot ${what}`, { cause });
  }
}

/** The same for a call whose answer takes its time. */
export async function awaitAddon<T>(
  code: ErrorCode,
  what: string,
  call: () => Promise<T>,
): Promise<T> {
  try {
    return await call();
  } catch (cause) {
    throw new LightvmError(code, `cannot ${what}`, { cause });
  }
}
