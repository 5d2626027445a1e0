// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";

/** What Xen prints of itself at a debug key. */
export async function xenDump(box: Box, key: string): Promise<string> {
  const dump = `xl dmesg -c >/dev/null; xl debug-keys ${key}; xl dmesg -c`;
  return (await box.exec(dump)).stdout;
}
