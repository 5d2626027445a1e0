// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { GuestEnd_Reason } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { withLastWords } from "./vm-end.ts";

describe("the end of a guest", () => {
  let directory: string;
  let bootLog: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "vm-end-"));
    bootLog = join(directory, "boot.log");
  });
  afterEach(() => rmSync(directory, { recursive: true }));

  const end = (reason: GuestEnd_Reason) => ({ reason, message: "it ended", at: 1n });

  it("tells the last that a kernel said which panicked", () => {
    writeFileSync(bootLog, "1\r\n2\r\n3\r\n\r\n4\r\nBUG: oops\r\nKernel panic - not syncing\r\n");
    const { message } = withLastWords(end(GuestEnd_Reason.REASON_PANIC), bootLog);
    expect(message).toBe(
      "it ended; its boot log ends: 2 | 3 | 4 | BUG: oops | Kernel panic - not syncing",
    );
  });

  it("shows no control character of a guest to a terminal", () => {
    writeFileSync(bootLog, "\u001b[31mred\u0007\u009b2J\n");
    const { message } = withLastWords(end(GuestEnd_Reason.REASON_REBOOT), bootLog);
    expect(message).toBe("it ended; its boot log ends: [31mred2J");
  });

  it("adds nothing when the guest powered off, or said nothing", () => {
    const silent = end(GuestEnd_Reason.REASON_PANIC);
    expect(withLastWords(silent, bootLog)).toBe(silent);
    writeFileSync(bootLog, "Linux version 6\n");
    const off = end(GuestEnd_Reason.REASON_POWEROFF);
    expect(withLastWords(off, bootLog)).toBe(off);
  });
});
