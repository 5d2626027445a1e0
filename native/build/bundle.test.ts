// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { VERSION } from "../../src/shared/version.ts";
import { bundlePrograms } from "./bundle.ts";

it("makes a command line that runs without the work tree and its modules", async () => {
  const directory = mkdtempSync(join(tmpdir(), "lightvm-bundle-"));
  try {
    await bundlePrograms(directory);
    const words = [join(directory, "lightvm.mjs"), "version"];
    expect(execFileSync(process.execPath, words, { cwd: "/", encoding: "utf8" })).toBe(
      `${VERSION}\n`,
    );
  } finally {
    rmSync(directory, { recursive: true });
  }
});
