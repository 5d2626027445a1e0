// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { cpuShareOf, isUsual } from "./cpu-share.ts";

const weight = (cpuShares: number, vcpus = 1) => cpuShareOf({ vcpus }, { vcpus, cpuShares }).weight;

it("a vCPU weighs what its pod asks for it, a whole CPU as much as dom0's", () => {
  expect(weight(1024)).toBe(256);
  expect(weight(512)).toBe(128);
  expect(weight(4096, 4)).toBe(256);
  expect(weight(262_144)).toBe(65_535);
});

it("a pod that asks for next to nothing is not starved, and one that says nothing is as others", () => {
  expect(weight(2)).toBe(16);
  expect(weight(0)).toBe(256);
  expect(isUsual(cpuShareOf({ vcpus: 1 }, { vcpus: 1 }))).toBe(true);
});

it("vCPUs that are not the pod's give it no CPU time", () => {
  const share = cpuShareOf({ vcpus: 4 }, { vcpus: 1 });
  expect(share).toEqual({ weight: 256, capPercent: 100 });
  expect(isUsual(share)).toBe(false);
  expect(cpuShareOf({ vcpus: 4 }, { vcpus: 3 }).capPercent).toBe(300);
});
