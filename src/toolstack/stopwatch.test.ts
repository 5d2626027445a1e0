// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { Stopwatch } from "./stopwatch.ts";

const names = ({ steps }: Stopwatch) => steps.map(({ name }) => name);

it("books what another has used apart, and never more than there was", () => {
  const stopwatch = new Stopwatch();
  stopwatch.step("before");
  stopwatch.stepApart("unpause", { name: "guest", nanoseconds: 1n });
  stopwatch.stepApart("again", { name: "guest", nanoseconds: 10n ** 18n });
  expect(names(stopwatch)).toEqual(["before", "unpause", "guest", "again", "guest"]);
  const [, , first, again, second] = stopwatch.steps.map(({ nanoseconds }) => nanoseconds);
  expect(first).toBe(1n);
  expect(again).toBe(0n);
  expect(second).toBeLessThan(10n ** 12n);
});
