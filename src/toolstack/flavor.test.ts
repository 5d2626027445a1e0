// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { canBecome } from "./flavor.ts";

const MIB = 1024 * 1024;
const BASE = 20 * MIB;
const flavor = (mib: number, vcpus = 1) => ({ vcpus, memoryBytes: mib * MIB, deviceSlots: 32 });
const shrinks = (from: number, to: number) => canBecome(flavor(from), flavor(to), BASE);

it("a booted shell can lose memory that it has not taken yet", () => {
  expect(shrinks(64, 64)).toBe(true);
  expect(shrinks(64, 20)).toBe(true);
  expect(shrinks(64, 19)).toBe(false);
  expect(shrinks(64, 65)).toBe(false);
});

it("not so large a one that describing what it could have had costs the pod much", () => {
  expect(shrinks(256, 64)).toBe(true);
  expect(shrinks(512, 64)).toBe(false);
  expect(shrinks(512, 128)).toBe(true);
  expect(shrinks(2048, 256)).toBe(false);
  expect(shrinks(2048, 512)).toBe(true);
});

it("and vCPUs, if their descriptions too are little of what the pod has", () => {
  expect(canBecome(flavor(512, 4), flavor(512, 2), BASE)).toBe(true);
  expect(canBecome(flavor(128, 2), flavor(128), BASE)).toBe(true);
  expect(canBecome(flavor(128, 2), flavor(64), BASE)).toBe(false);
  expect(canBecome(flavor(128, 8), flavor(128, 2), BASE)).toBe(true);
});

it("not one with fewer vCPUs or other devices", () => {
  expect(canBecome(flavor(512), flavor(512, 2), BASE)).toBe(false);
  expect(canBecome({ ...flavor(128), deviceSlots: 8 }, flavor(64), BASE)).toBe(false);
});
