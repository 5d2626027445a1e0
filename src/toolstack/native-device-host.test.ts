// SPDX-License-Identifier: Apache-2.0
import { closeSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NativeDeviceHost } from "./native-device-host.ts";

const host = new NativeDeviceHost();
const openFiles = () => readdirSync("/proc/self/fd").length;

describe("devices of the host", () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "lightvm-devices-"));
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it("are known by their numbers, whatever their path", () => {
    const link = join(directory, "link");
    symlinkSync("/dev/zero", link);
    const before = openFiles();
    for (const path of ["/dev/zero", link]) {
      expect(host.open(path, true)).toMatchObject({
        kind: "character",
        major: 1,
        minor: 5,
        mode: 0o666,
        uid: 0,
        gid: 0,
      });
    }
    expect(openFiles()).toBe(before);
  });

  it("are not files, directories or nothing", () => {
    const file = join(directory, "file");
    writeFileSync(file, "");
    const before = openFiles();
    const cases = [
      [file, "invalid-argument", `"${file}" is no device of the host but a file`],
      [directory, "invalid-argument", `"${directory}" is no device of the host but a directory`],
      [join(directory, "none"), "not-found", "is not there"],
      [join(file, "below"), "not-found", "is not there"],
    ] as const;
    for (const [path, code, message] of cases) {
      expect(() => host.open(path, false), path).toThrow(
        expect.objectContaining({ code, message: expect.stringContaining(message) }),
      );
    }
    expect(openFiles()).toBe(before);
  });

  const block = readdirSync("/sys/block").find((name) => {
    try {
      const device = host.open(`/dev/${name}`, false);
      if (device.kind === "block") closeSync(device.fd);
      return device.kind === "block";
    } catch {
      return false;
    }
  });
  // e2e/functional/block-devices.test.ts has some for certain.
  it.skipIf(block === undefined)("are opened when they are block devices", () => {
    const before = openFiles();
    const device = host.open(`/dev/${block}`, false);
    expect(device.kind).toBe("block");
    if (device.kind === "block") closeSync(device.fd);
    expect(openFiles()).toBe(before);
  });
});
