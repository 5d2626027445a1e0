// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { waitFor } from "./wait.ts";

const never = new Promise<number>(() => undefined);

describe("waitFor", () => {
  it("passes the value and the error on", async () => {
    await expect(waitFor(Promise.resolve(7), "it", {})).resolves.toBe(7);
    await expect(waitFor(Promise.reject(new Error("no")), "it", {})).rejects.toThrow("no");
  });

  it("ends at the deadline with a code of its own", async () => {
    await expect(waitFor(never, "the boot", { timeoutMs: 5 })).rejects.toMatchObject({
      code: "deadline-exceeded",
      message: "the boot took longer than 0.005 s",
    });
  });

  it("ends when the caller gives up, before and during the wait", async () => {
    const controller = new AbortController();
    const waiting = waitFor(never, "the boot", { signal: controller.signal });
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "cancelled" });
    await expect(
      waitFor(Promise.resolve(1), "it", { signal: controller.signal }),
    ).rejects.toMatchObject({ code: "cancelled" });
  });
});
