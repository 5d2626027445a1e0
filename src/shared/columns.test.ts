// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { columns } from "./columns.ts";

it("cells stand below each other, and no line ends in blanks", () => {
  const rows = [["NAME", "STATE"], ["a longer one", "paused"], ["short", ""], ["alone"]];
  expect(columns(rows)).toBe(
    ["NAME          STATE", "a longer one  paused", "short", "alone"].join("\n"),
  );
  expect(columns([])).toBe("");
});
