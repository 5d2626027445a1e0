// SPDX-License-Identifier: Apache-2.0
import { Readable } from "node:stream";
import fc from "fast-check";
import { expect, it } from "vitest";
import { terminalSizes } from "./terminal-sizes.ts";

async function sizes(pieces: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  const source = Readable.from(pieces.map((piece) => Buffer.from(piece)));
  for await (const { width, height } of terminalSizes(source)) found.push(`${width}x${height}`);
  return found;
}

it("reads sizes, however they are cut", async () => {
  const text = '{"Width":80,"Height":24}\n{"Width":100,"Height":50}{"Height":1,"Width":65535}\n';
  for (const size of [1, 7, text.length]) {
    const pieces = text.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
    expect(await sizes(pieces)).toEqual(["80x24", "100x50", "65535x1"]);
  }
});

it("skips what is no size, and stops listening to what never ends", async () => {
  const bad = [
    '{"Width":0,"Height":24}',
    '{"Width":"1","Height":1}',
    "{}",
    '{"Width":70000}',
    "x}",
  ];
  expect(await sizes([...bad, '{"Width":1,"Height":2}'])).toEqual(["1x2"]);
  expect(await sizes(["x".repeat(2000), '{"Width":1,"Height":2}'])).toEqual([]);
  await fc.assert(
    fc.asyncProperty(fc.array(fc.string()), async (pieces) => {
      await sizes(pieces.filter((piece) => piece !== ""));
    }),
  );
});
