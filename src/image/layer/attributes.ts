// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../shared/errors.ts";
import { type Attributes, NO_ATTRIBUTES } from "../tar/tar-entry.ts";

/** What Linux and EROFS can both store. */
const MAX_NAME_BYTES = 255;
const MAX_VALUE_BYTES = 65_535;
const KEPT = ["user.", "trusted.", "security.", "system.posix_acl_"];
/** The guest's overlay file system takes these as its own notes about lower layers. */
const OVERLAY_PREFIX = "trusted.overlay.";

/**
 * The extended attributes that the guest's file system can hold; others, such as those of macOS,
 * are left out as every runtime on Linux does. Throws "data-loss" for those that nobody can store.
 */
export function checkedAttributes(attributes: Attributes, path: string): Attributes {
  if (attributes.size === 0) return NO_ATTRIBUTES;
  const kept = new Map<string, Uint8Array>();
  for (const [name, value] of attributes) {
    if (name.includes("\0") || name.length > MAX_NAME_BYTES || value.length > MAX_VALUE_BYTES) {
      throw new LightvmError("data-loss", `an extended attribute of ${path} is malformed`);
    }
    const storable = KEPT.some((prefix) => name.startsWith(prefix) && name.length > prefix.length);
    if (storable && !name.startsWith(OVERLAY_PREFIX)) kept.set(name, value);
  }
  return kept.size === 0 ? NO_ATTRIBUTES : kept;
}
