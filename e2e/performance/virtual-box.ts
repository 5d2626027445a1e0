// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../src/shared/errors.ts";
import { Box, type BoxOptions } from "../box/box.ts";

/** A minute is enough in real time; with counted instructions it is not. */
const BOOT_MS = 1_800_000;

/**
 * Whoever waits for a disk waits for the host, and meanwhile virtual time jumps to whatever timer comes
 * next: what a figure would hold then is chance. So what is written goes to memory, of all runtimes.
 */
const MEMORY_FOR_DISK = "mount -t tmpfs -o size=1g,mode=755 tmpfs /var/lib/lightvm";

/** Boots a box that counts instructions. */
export async function upInVirtualTime(
  options: Omit<BoxOptions, "virtualTime" | "bootTimeoutMs">,
): Promise<Box> {
  const box = await Box.up({ ...options, virtualTime: true, bootTimeoutMs: BOOT_MS });
  const { code, stderr } = await box.exec(MEMORY_FOR_DISK);
  if (code === 0) return box;
  await box.down();
  throw new LightvmError(
    "unavailable",
    `no memory for a disk in the box: ${stderr} (code ${code})`,
  );
}
