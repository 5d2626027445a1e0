// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { Mutex } from "./mutex.ts";

it("lets one in after the other, past those who gave up", async () => {
  const mutex = new Mutex();
  const never = new AbortController().signal;
  const first = await mutex.acquire("a lock", never);
  const impatient = new AbortController();
  const second = mutex.acquire("a lock", impatient.signal);
  const third = mutex.acquire("a lock", never);
  impatient.abort();
  await expect(second).rejects.toMatchObject({ code: "cancelled" });
  let entered = false;
  void third.then(() => {
    entered = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  expect(entered).toBe(false);
  first[Symbol.dispose]();
  await third;
});
