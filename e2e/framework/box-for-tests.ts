// SPDX-License-Identifier: Apache-2.0
import { nodeLibrary } from "../../native/build/node-library.ts";
import { Box } from "../box/box.ts";

/** Name of the box that tests use; another one may run for a person meanwhile. */
export const TEST_BOX = "test";

/** vitest calls it once before all files; what it returns, once after them. */
export default async function setup(): Promise<() => Promise<void>> {
  const box = await Box.up({ name: TEST_BOX, library: await nodeLibrary() });
  return async () => await box.down();
}
