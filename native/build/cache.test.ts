// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { cacheDirectory, cacheKey } from "./cache.ts";

describe("the key of a build", () => {
  it("changes with each input, and with where one ends", () => {
    const keys = [
      ["ab", "c"],
      ["a", "bc"],
      ["ab", "c", ""],
      ["c", "ab"],
    ].map(cacheKey);
    expect(new Set(keys).size).toBe(keys.length);
  });

  it("does not depend on where the cache lies", () => {
    const folder = join(cacheDirectory, "debian-trixie/0123/root");
    expect(cacheKey([folder])).toBe(cacheKey(["debian-trixie/0123/root"]));
  });
});
