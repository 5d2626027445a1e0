// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { Turns } from "./turns.ts";

const never = new AbortController().signal;

it("serves so many at once, and the others in the order in which they came", async () => {
  const turns = new Turns(2);
  const order: number[] = [];
  const held: Disposable[] = [];
  const all = [1, 2, 3, 4].map(async (n) => {
    held.push(await turns.enter(never));
    order.push(n);
  });
  await Promise.all(all.slice(0, 2));
  expect(order).toEqual([1, 2]);
  expect(turns.waiting).toBe(2);
  held[0]?.[Symbol.dispose]();
  held[0]?.[Symbol.dispose]();
  await all[2];
  expect(order).toEqual([1, 2, 3]);
  held[1]?.[Symbol.dispose]();
  await all[3];
  expect(order).toEqual([1, 2, 3, 4]);
});

it("whoever gives up leaves the line, also when the turn comes at that moment", async () => {
  const turns = new Turns(1);
  const first = await turns.enter(never);
  const [leaving, served] = [new AbortController(), new AbortController()];
  const left = turns.enter(leaving.signal);
  const both = turns.enter(served.signal);
  leaving.abort();
  await expect(left).rejects.toMatchObject({ code: "cancelled" });
  served.abort();
  first[Symbol.dispose]();
  await expect(both).rejects.toMatchObject({ code: "cancelled" });
  using _turn = await turns.enter(never);
  expect(turns.waiting).toBe(0);
});
