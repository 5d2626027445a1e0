// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { Backoff } from "./backoff.ts";

it("waits twice as long after each failure, five minutes at most, until it succeeds", () => {
  let now = 0;
  const backoff = new Backoff(() => now);
  expect(backoff.mustWait("a")).toBe(false);
  expect([backoff.failed("a"), backoff.failed("a"), backoff.failed("a")]).toEqual([
    1000, 2000, 4000,
  ]);
  expect([backoff.mustWait("a"), backoff.mustWait("b")]).toEqual([true, false]);
  now = 4000;
  expect(backoff.mustWait("a")).toBe(false);
  for (let i = 0; i < 100; i += 1) backoff.failed("a");
  expect(backoff.failed("a")).toBe(300_000);
  backoff.succeeded("a");
  expect(backoff.failed("a")).toBe(1000);
});
