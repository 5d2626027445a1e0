// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { parseConfig } from "../../shared/config.ts";
import { Demand } from "./demand.ts";
import { kindOf, neediest, planPool, whyImpossible } from "./plan.ts";

const MIB = 1024 * 1024;
const usual = { vcpus: 1, memoryBytes: 64 * MIB, deviceSlots: 32 };
const plan = (pool: object, demand = new Demand()) =>
  planPool(parseConfig({ pool }, "the test").pool, demand, usual);
const kinds = (targets: ReturnType<typeof plan>) =>
  targets.map((target) => `${target.size} × ${kindOf(target)}`);

it("is empty by default: the pool is off", () => {
  expect(plan({})).toEqual([]);
});

it("holds what is declared and what is learnt beside it", () => {
  const demand = new Demand();
  demand.note({ ...usual, vcpus: 2 });
  demand.note({ ...usual, memoryBytes: 32 * MIB });
  const pool = {
    size: 3,
    level: "booted",
    flavors: [{ memory_mib: 32, size: 4, level: "prepared" }],
  };
  expect(kinds(plan(pool, demand))).toEqual([
    "4 × up-1cpu-32MiB-32slots prepared",
    "3 × smp-2cpu-64MiB-32slots booted",
  ]);
});

it("takes a flavor that is declared twice by its last entry", () => {
  const flavors = [2, 5].map((size) => ({ memory_mib: 64, size }));
  expect(kinds(plan({ flavors }))).toEqual(["5 × up-1cpu-64MiB-32slots booted"]);
});

it("chooses what lacks most, measured by what is wanted", () => {
  const pool = { flavors: [32, 64].map((memory_mib) => ({ memory_mib, size: 4 })) };
  const targets = plan(pool);
  const [small, large] = targets;
  const held = (waiting: number, making: number) => ({ waiting, making });
  expect(neediest(targets, () => held(4, 0))).toBeUndefined();
  expect(neediest(targets, () => held(2, 3))).toBeUndefined();
  expect(neediest(targets, (target) => (target === small ? held(3, 0) : held(1, 1)))).toBe(large);
});

it("says why a flavor can never be held", () => {
  expect(whyImpossible(usual, 128 * MIB, 1024 * MIB)).toBeUndefined();
  expect(whyImpossible(usual, 64 * MIB, 1024 * MIB)).toMatch(/66 MiB.* pool.memory_mib is 64 MiB/);
  expect(whyImpossible(usual, 128 * MIB, 60 * MIB)).toMatch(/the host has 60 MiB/);
});
