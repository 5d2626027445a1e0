// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { describe, expect, it } from "vitest";
import { NativeProcessStarter } from "./native-process-starter.ts";
import { untilReaped } from "./process-starter.ts";

describe("the end of a child", () => {
  it("is learned from the kernel's signal, by all who wait, and told in Node's words", async () => {
    const ends = new Map([
      [1, { exitCode: 3 }],
      [2, { signal: "SIGKILL" }],
    ]);
    let ended = false;
    const starter = new NativeProcessStarter({
      startServer: unused,
      startFilter: unused,
      reapProcess: (pid) => (ended ? (ends.get(pid) ?? {}) : null),
    });
    const waits = [1, 2, 3].map((pid) => untilReaped(starter, pid));
    // The kernel's word that some child has ended, and nothing else, makes them look again.
    ended = true;
    spawn("true");
    expect(await Promise.all(waits)).toEqual([
      { exitCode: 3, signal: null },
      { exitCode: null, signal: "SIGKILL" },
      { exitCode: null, signal: null },
    ]);
  });

  it("is not missed between a look and the wait", async () => {
    let looks = 0;
    const starter = new NativeProcessStarter({
      startServer: unused,
      startFilter: unused,
      reapProcess() {
        looks += 1;
        if (looks > 1) return { exitCode: 0 };
        process.emit("SIGCHLD", "SIGCHLD");
        return null;
      },
    });
    expect(await untilReaped(starter, 1)).toEqual({ exitCode: 0, signal: null });
  });
});

function unused(): never {
  throw new Error("not part of this test");
}
