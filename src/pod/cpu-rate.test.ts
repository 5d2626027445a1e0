// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { CpuRate } from "./cpu-rate.ts";

const SECOND = 1_000_000_000n;

it("is the growth between two looks, for a second", () => {
  const rate = new CpuRate();
  expect(rate.observe(10n * SECOND, 5n * SECOND)).toBeUndefined();
  expect(rate.observe(12n * SECOND, 6n * SECOND)).toBe(SECOND / 2n);
});

it("stays the same for a look that comes too soon", () => {
  const rate = new CpuRate();
  rate.observe(0n, 0n);
  rate.observe(2n * SECOND, 2n * SECOND);
  expect(rate.observe(2n * SECOND + 1n, 3n * SECOND)).toBe(SECOND);
  // The early look did not move the base.
  expect(rate.observe(4n * SECOND, 3n * SECOND)).toBe(SECOND / 2n);
});

it("begins anew when the counter does", () => {
  const rate = new CpuRate();
  rate.observe(0n, 9n);
  expect(rate.observe(2n * SECOND, 1n)).toBeUndefined();
  expect(rate.observe(4n * SECOND, 1n)).toBe(0n);
});
