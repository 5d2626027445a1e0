// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { reloadConfig } from "./reload.ts";
import { parseConfig } from "./shared/config.ts";
import { createLogger } from "./shared/logger.ts";

let directory: string;
let lines: string[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lightvm-reload-"));
  lines = [];
});
afterEach(() => rmSync(directory, { recursive: true }));

const before = parseConfig({ vm: { memory_mib: 128 } }, "the test");

function reload(text: string) {
  const path = join(directory, "config.toml");
  writeFileSync(path, text);
  const logger = createLogger({ level: "info" }, { write: (line) => lines.push(line) });
  const after = reloadConfig(before, path, logger);
  return { after, logged: lines.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

it("takes over the pool and the log level, and names what waits for a restart", () => {
  const { after, logged } = reload(`
    [log]
    level = "debug"
    [vm]
    memory_mib = 256
    [pool]
    size = 3
    flavors = [{ memory_mib = 32, size = 2 }]
    [image.registries."here"]
    plain_http = true
  `);
  expect(after.pool).toMatchObject({ size: 3, flavors: [{ memory_mib: 32, size: 2 }] });
  expect(after.log.level).toBe("debug");
  expect(after.vm).toEqual(before.vm);
  expect(after.image).toEqual(before.image);
  expect(logged).toMatchObject([
    { level: "info", changed: ["log.level", "pool.size", "pool.flavors"] },
    { level: "warn", needRestart: ["vm.memory_mib", "image.registries.here"] },
  ]);
});

it.each([
  ["a size of nonsense", "[pool]\nsize = -1", /pool\.size/],
  ["a size that is no number", '[pool]\nsize = "many"', /pool\.size/],
  ["a fraction of a shell", "[pool]\nsize = 1.5", /pool\.size/],
  ["a level that does not exist", '[pool]\nlevel = "ready"', /pool\.level/],
  ["a flavor without a size", "[[pool.flavors]]\nmemory_mib = 64", /pool\.flavors\.0\.size/],
  ["no TOML", "[pool", /not valid TOML/],
])("changes nothing for %s", (_what, text, error) => {
  const { after, logged } = reload(text);
  expect(after).toBe(before);
  expect(logged).toMatchObject([{ level: "error", error: expect.stringMatching(error) }]);
});
