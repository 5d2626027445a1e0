// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { lockNode } from "./node-lock.ts";

it("lets one lightvmd work on a state directory, and the next when it is gone", async () => {
  const directory = `/nowhere/${process.pid}`;
  const first = await lockNode(directory);
  await expect(lockNode(directory)).rejects.toMatchObject({
    code: "failed-precondition",
    message: `another lightvmd works on ${directory}`,
  });
  using _other = await lockNode(`${directory}/other`);
  first[Symbol.dispose]();
  await expect
    .poll(async () => {
      try {
        (await lockNode(directory))[Symbol.dispose]();
        return true;
      } catch {
        return false;
      }
    })
    .toBe(true);
});
