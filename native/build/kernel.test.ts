// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { refusedLines } from "./kernel.ts";

const configs = join(import.meta.dirname, "../driver/config");

it("finds the lines that a kernel configuration did not take over", () => {
  const config = ["CONFIG_NET=y", "# CONFIG_SMP is not set", 'CONFIG_NAME="a"'].join("\n");
  expect(refusedLines("CONFIG_NET=y\nCONFIG_SMP=n\nCONFIG_GONE=n", config)).toEqual([]);
  expect(refusedLines('CONFIG_NAME="a"\n# CONFIG_NET=n', config)).toEqual([]);
  expect(refusedLines("CONFIG_SMP=y\nCONFIG_NET=n\nCONFIG_NAME=a", config)).toEqual([
    "CONFIG_SMP=y (is not set)",
    "CONFIG_NET=n (is y)",
    'CONFIG_NAME=a (is "a")',
  ]);
});

it.each(["common", "up", "smp"])("says each thing once in %s.config", (name) => {
  const lines = readFileSync(join(configs, `${name}.config`), "utf8").split("\n");
  const settings = lines.filter((line) => line !== "" && !line.startsWith("#"));
  expect(
    settings.filter((line) => !/^CONFIG_\w+=(y|n|-?\d+|0x[0-9a-f]+|"[^"]*")$/.test(line)),
  ).toEqual([]);
  const names = settings.map((line) => line.split("=")[0]);
  expect(names.filter((entry, index) => names.indexOf(entry) !== index)).toEqual([]);
});
