// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { makeDirectories } from "./make-directories.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "lightvm-directories-"));
});
afterEach(() => rmSync(root, { recursive: true }));

it("makes what is missing and leaves what is there", async () => {
  const path = join(root, "a/b/c");
  await makeDirectories(path, 0o750);
  await makeDirectories(path, 0o700);
  expect(statSync(path).mode & 0o777).toBe(0o750);
});

it("gives up where no directory can be made", async () => {
  await expect(makeDirectories("/proc/nothing/here", 0o755)).rejects.toMatchObject({
    code: "ENOENT",
  });
});

it("does not take a file for a directory", async () => {
  writeFileSync(join(root, "file"), "");
  await expect(makeDirectories(join(root, "file"), 0o755)).rejects.toMatchObject({
    code: "EEXIST",
  });
  await expect(makeDirectories(join(root, "file/below"), 0o755)).rejects.toMatchObject({
    code: "ENOTDIR",
  });
});
