// SPDX-License-Identifier: Apache-2.0
import { statfs } from "node:fs/promises";
import { LightvmError } from "../../shared/errors.ts";

/** What images never take of the disk: the node's own records must still fit. */
const RESERVED_BYTES = 32 * 1024 * 1024;

/** Throws "resource-exhausted" unless the directory's disk has room for so many bytes more. */
export async function requireSpace(directory: string, bytes: number, what: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory);
  if (bavail * bsize >= bytes + RESERVED_BYTES) return;
  throw new LightvmError(
    "resource-exhausted",
    `the disk of ${directory} has no room for ${what}; remove images that are not used`,
  );
}

/** An error of the file system or of a decoder in this project's words. */
export function toLightvmError(error: unknown, what: string): LightvmError {
  if (error instanceof LightvmError) return error;
  const { code = "", name = "" } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new LightvmError("resource-exhausted", `the disk is full at ${what}`, { cause: error });
  }
  if (name === "AbortError") {
    return new LightvmError("cancelled", `${what} was cancelled`, { cause: error });
  }
  if (code.startsWith("Z_") || code.startsWith("ZSTD_")) {
    return new LightvmError("data-loss", `${what} found damaged data`, { cause: error });
  }
  return new LightvmError("internal", `${what} failed`, { cause: error });
}
