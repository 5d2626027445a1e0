// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { loadConfig, parseConfig } from "./config.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lightvm-config-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function file(text: string): string {
  const path = join(directory, "config.toml");
  writeFileSync(path, text);
  return path;
}

describe("configuration", () => {
  it("has a default for every key", () => {
    const config = parseConfig({}, "nothing");
    expect(config.socket).toBe("/run/lightvm/lightvmd.sock");
    expect(config.vm.memory_mib).toBe(64);
    expect(config.log.level).toBe("info");
    expect(config.image.registries).toEqual({});
  });

  it("fills the defaults of a table that is there in part", () => {
    const config = loadConfig(file('[vm]\nvcpus = 4\n[log]\nlevel = "debug"\n'));
    expect(config.vm.vcpus).toBe(4);
    expect(config.vm.boot_timeout_seconds).toBe(30);
    expect(config.log.level).toBe("debug");
  });

  it("names the key that is wrong", () => {
    expect(() => loadConfig(file("[vm]\nvcpus = 0\n"))).toThrow(/vm\.vcpus/);
    expect(() => loadConfig(file("[vm]\nvcpu = 1\n"))).toThrow(/vcpu/);
    expect(() => loadConfig(file('socket = "relative"\n'))).toThrow(/absolute/);
  });

  it("names a file that is not TOML, and one that was asked for and is missing", () => {
    expect(() => loadConfig(file("vm = ["))).toThrow(/config\.toml is not valid TOML/);
    expect(() => loadConfig(join(directory, "none.toml"))).toThrow(/none\.toml/);
  });
});
