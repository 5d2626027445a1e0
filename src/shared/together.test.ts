// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { together } from "./together.ts";
import { waitFor } from "./wait.ts";

const never = new AbortController().signal;
const forEver = (signal: AbortSignal) =>
  waitFor(new Promise<string>(() => undefined), "it", { signal });

describe("together", () => {
  it("gives both results", async () => {
    const one = async () => 1;
    const two = async () => "2";
    await expect(together(never, one, two)).resolves.toEqual([1, "2"]);
  });

  it("cancels the other and throws what failed first, whichever it is", async () => {
    const fails = async () => {
      throw new Error("no");
    };
    await expect(together(never, fails, forEver)).rejects.toThrow("no");
    await expect(together(never, forEver, fails)).rejects.toThrow("no");
  });

  it("waits for the one that goes on", async () => {
    let ended = false;
    const slow = async () => {
      await new Promise(setImmediate);
      ended = true;
    };
    const fails = async () => {
      throw new Error("no");
    };
    await expect(together(never, slow, fails)).rejects.toThrow("no");
    expect(ended).toBe(true);
  });

  it("passes the caller's signal on", async () => {
    const controller = new AbortController();
    const both = together(controller.signal, forEver, forEver);
    controller.abort();
    await expect(both).rejects.toMatchObject({ code: "cancelled" });
  });
});
