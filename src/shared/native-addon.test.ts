// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { awaitAddon, callAddon, loadAddon } from "./native-addon.ts";

describe("native addon", () => {
  it("names an addon that is missing, and one that is none", () => {
    expect(() => loadAddon("/nonexistent/addon.node")).toThrow(
      "the native addon is missing: /nonexistent/addon.node",
    );
    const directory = mkdtempSync(join(tmpdir(), "lightvm-addon-"));
    try {
      const path = join(directory, "addon.node");
      writeFileSync(path, "not an ELF file");
      expect(() => loadAddon(path)).toThrow(`cannot load the native addon ${path}`);
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it("says which call failed, and why", async () => {
    const cause = new Error("EPERM");
    const refuse = () => {
      throw cause;
    };
    const failure = { code: "internal", message: "cannot do it", cause };
    expect(() => callAddon("internal", "do it", refuse)).toThrow(expect.objectContaining(failure));
    // Node-API throws at once for arguments that do not fit, and rejects for all else.
    await expect(awaitAddon("internal", "do it", refuse)).rejects.toMatchObject(failure);
    const rejects = () => Promise.reject(cause);
    await expect(awaitAddon("internal", "do it", rejects)).rejects.toMatchObject(failure);
  });
});
