// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { LINUX_SERIES } from "../../native/build/kernel.ts";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { Box } from "../box/box.ts";
import { DOM0_RELEASES, dom0Image, type XenRelease } from "../box/dom0.ts";

/**
 * Name of the box that tests use; another one may run for a person meanwhile. LIGHTVM_BOX names one
 * that runs already: the tests take it as it is, and leave it.
 */
export const TEST_BOX = process.env["LIGHTVM_BOX"] ?? "test";

/** One of `known`, as the environment variable says, or the first of them. */
function choice<T extends string>(variable: string, known: readonly T[]): T {
  const wanted = process.env[variable] ?? known[0];
  const found = known.find((each) => each === wanted);
  if (found === undefined) throw new Error(`${variable} is none of ${known.join(", ")}`);
  return found;
}

/** LIGHTVM_XEN: the hypervisor that the tests run on, with the Debian release that has it as dom0. */
export const TEST_XEN: XenRelease = choice("LIGHTVM_XEN", ["4.20", "4.17"]);
/** LIGHTVM_LINUX: the series of the pods' kernel. */
export const TEST_LINUX = choice("LIGHTVM_LINUX", LINUX_SERIES);

/** A static busybox, of which guests and images are made. */
export async function testBusybox(): Promise<Uint8Array> {
  return await readFile((await dom0Image(DOM0_RELEASES[TEST_XEN])).busybox);
}

/** vitest calls it once before all files; what it returns, once after them. */
export default async function setup(): Promise<() => Promise<void>> {
  if (process.env["LIGHTVM_BOX"] !== undefined) return async () => undefined;
  const library = await nodeLibrary(TEST_LINUX);
  const box = await Box.up({ name: TEST_BOX, xen: TEST_XEN, library });
  return async () => await box.down();
}
