// SPDX-License-Identifier: Apache-2.0
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NodeProcessStarter } from "../../test/harness/node-process-starter.ts";
import { isRunning, type ProcessIdentity } from "./process-identity.ts";
import { spawnVmm } from "./vmm-process.ts";

describe("a VMM process", () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), "lightvm-vmm-"));
  });
  afterEach(() => rmSync(root, { recursive: true }));

  function spawn(script: string, onStarted: (identity: ProcessIdentity) => void) {
    const binary = join(root, "vmm");
    writeFileSync(binary, `#!/bin/sh\n${script}\n`);
    chmodSync(binary, 0o755);
    const [socketPath, logPath] = [join(root, "socket"), join(root, "log")];
    return spawnVmm(new NodeProcessStarter(), { binary, socketPath, logPath, onStarted });
  }

  it("has ended when its connection has, and how is told", async () => {
    const vmm = spawn("read line <&3; exit 7", () => undefined);
    vmm.control.resume().end();
    expect(await vmm.exited).toEqual({ exitCode: 7, signal: null });
  });

  it("loses its connection, and with it its life, when it cannot be written down", async () => {
    let started: ProcessIdentity | undefined;
    const failing = (identity: ProcessIdentity) => {
      started = identity;
      throw new Error("no space left on the disk");
    };
    expect(() => spawn("exec cat <&3", failing)).toThrow("no space left");
    await expect.poll(() => started && isRunning(started)).toBe(false);
  });
});
