// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { encodeGolden, goldens, toWords } from "./golden.ts";

it.each(goldens().map((golden) => [golden.name, golden] as const))("%s", (_name, golden) => {
  const bytes = readFileSync(golden.binaryFile);
  expect(encodeGolden(golden).toString("hex")).toBe(bytes.toString("hex"));
  expect(toWords(golden.codec.decode(bytes))).toEqual(golden.json);
});
