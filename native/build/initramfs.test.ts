// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { expect, it } from "vitest";
import { makeCpio, makeInitramfs } from "./initramfs.ts";

const agent = Buffer.from("#!agent");

/** What the cpio of this machine reads in an archive. */
function list(archive: Buffer): string[] {
  const { stdout } = spawnSync("cpio", ["-itv", "--quiet", "--numeric-uid-gid"], {
    input: archive,
    env: { ...process.env, TZ: "UTC", LC_ALL: "C" },
    encoding: "utf8",
  });
  return stdout.trimEnd().split("\n");
}

it("pads headers and contents to four bytes", () => {
  const archive = makeCpio([{ kind: "file", path: "ab", mode: 0o644, content: agent }]);
  expect(archive.subarray(0, 6).toString()).toBe("070701");
  expect(archive.subarray(110, 116).toString()).toBe("ab\0\0\0\0".slice(0, 6));
  const content = (110 + 3 + 3) & ~3;
  expect(archive.subarray(content, content + 8).toString()).toBe("#!agent\0");
  expect(archive.subarray(content + 8, content + 14).toString()).toBe("070701");
  expect(archive.length % 4).toBe(0);
  expect(archive.includes("TRAILER!!!\0")).toBe(true);
});

it("is the same archive for the same agent", () => {
  expect(makeInitramfs(agent).equals(makeInitramfs(Buffer.from(agent)))).toBe(true);
});

it.skipIf(spawnSync("cpio", ["--version"]).error !== undefined)("is read by cpio", () => {
  const words = list(makeInitramfs(agent)).map((line) => line.split(/\s+/));
  const modes = words.map((line) => [line[0], line.at(-1)]);
  expect(modes).toEqual([
    ["drwxr-xr-x", "dev"],
    ["drwxr-xr-x", "proc"],
    ["drwxr-xr-x", "sys"],
    ["drwxr-xr-x", "run"],
    ["drwxr-xr-x", "tmp"],
    ["crw-------", "dev/console"],
    ["-rwxr-xr-x", "init"],
  ]);
  expect(words[5]?.slice(2, 6)).toEqual(["0", "0", "5,", "1"]);
});
