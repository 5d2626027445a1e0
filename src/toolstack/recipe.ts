// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { statSync } from "node:fs";
import { LightvmError } from "../shared/errors.ts";
import type { NodePaths } from "../shared/paths.ts";
import { type GuestImage, guestImage } from "./guest-kernel.ts";

const DIGITS = 16;

/** What a shell is made from. */
export interface Recipe {
  readonly image: GuestImage;
  /** Differs as soon as one of the files has been replaced or rewritten, or the command line. */
  readonly stamp: string;
}

/**
 * The recipe as it stands now. A shell whose stamp is another one was made from older files and may
 * not be used any more. Throws "not-found" when a file is missing.
 */
export function recipeOf(
  paths: Pick<NodePaths, "vmmBinary" | "kernelUp" | "kernelSmp" | "initramfs">,
  vcpus: number,
  kernelArguments: string,
): Recipe {
  const image = guestImage(paths, vcpus, kernelArguments);
  const hash = createHash("sha256").update(image.commandLine);
  for (const file of [paths.vmmBinary, image.kernel, image.ramdisk]) {
    hash.update(`\0${fileStamp(file)}`);
  }
  return { image, stamp: hash.digest("hex").slice(0, DIGITS) };
}

function fileStamp(path: string): string {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(path, { bigint: true });
    return [path, dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch (cause) {
    throw new LightvmError("not-found", `cannot open ${path}`, { cause });
  }
}
