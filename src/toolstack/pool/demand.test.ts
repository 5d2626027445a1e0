// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { type Flavor, flavorName } from "../flavor.ts";
import { Demand } from "./demand.ts";

const flavor = (mebibytes: number): Flavor => ({
  vcpus: 1,
  memoryBytes: mebibytes * 1024 * 1024,
  deviceSlots: 8,
});
const [small, large, usual] = [flavor(32), flavor(256), flavor(64)];
const sizes = (demand: Demand, size: number, apart: Flavor[] = []) =>
  Object.fromEntries(
    demand
      .share(size, usual, new Set(apart.map(flavorName)))
      .map((share) => [share.flavor.memoryBytes / 1024 / 1024, share.size]),
  );

it("expects the usual pod as long as nobody has asked", () => {
  expect(sizes(new Demand(), 5)).toEqual({ 64: 5 });
});

it("shares the pool out in proportion, and all of it", () => {
  const demand = new Demand();
  for (const each of [small, small, large]) demand.note(each);
  expect(sizes(demand, 10)).toEqual({ 32: 7, 256: 3 });
  expect(sizes(demand, 1)).toEqual({ 32: 1 });
  expect(sizes(demand, 0)).toEqual({});
  expect(demand.recent()).toEqual([large, small].map(flavorName));
});

it("leaves out what is declared anyway", () => {
  const demand = new Demand();
  for (const each of [small, large]) demand.note(each);
  expect(sizes(demand, 4, [small])).toEqual({ 256: 4 });
  expect(sizes(new Demand(), 4, [usual])).toEqual({});
});

it("forgets: the latest 64 requests of the last hour count", () => {
  let now = 0;
  const demand = new Demand(() => now);
  demand.note(large);
  for (let i = 0; i < 64; i += 1) demand.note(small);
  expect(sizes(demand, 8)).toEqual({ 32: 8 });
  now += 3_600_001;
  expect(sizes(demand, 8)).toEqual({ 64: 8 });
});
