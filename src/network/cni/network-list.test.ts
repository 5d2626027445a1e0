// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseNetworkList, readNetworkList } from "./network-list.ts";

const parse = (document: object) => parseNetworkList(JSON.stringify(document));
const LIST = { cniVersion: "1.0.0", name: "pods", plugins: [{ type: "bridge", bridge: "b0" }] };

describe("a network configuration", () => {
  it("is a list of plugins, each with settings of its own", () => {
    expect(parse(LIST)).toEqual({
      name: "pods",
      version: "1.0.0",
      disableCheck: false,
      disableGC: false,
      plugins: [{ type: "bridge", bridge: "b0" }],
    });
  });

  it("may be a single plugin", () => {
    const single = { cniVersion: "0.3.1", name: "old", type: "ptp", mtu: 1400 };
    expect(parse(single)).toMatchObject({
      name: "old",
      version: "0.3.1",
      plugins: [{ type: "ptp", mtu: 1400 }],
    });
  });

  it("is spoken in the newest version that both know", () => {
    const version = (cniVersions: string[]) => parse({ ...LIST, cniVersions }).version;
    expect(version([])).toBe("1.0.0");
    expect(version(["0.4.0", "1.1.0"])).toBe("1.1.0");
    expect(version(["2.0.0"])).toBe("1.0.0");
  });

  it("takes its switches in both spellings", () => {
    expect(parse({ ...LIST, disableCheck: true, disableGC: "true" })).toMatchObject({
      disableCheck: true,
      disableGC: true,
    });
  });

  it.each([
    ["no JSON", "{", /not valid JSON/],
    ["no plugins", JSON.stringify({ ...LIST, plugins: [] }), /plugins/],
    ["no name", JSON.stringify({ ...LIST, name: "" }), /name/],
    ["a path as a plugin", JSON.stringify({ ...LIST, plugins: [{ type: "../sh" }] }), /plugin's/],
    ["a version to come", JSON.stringify({ ...LIST, cniVersion: "3.0.0" }), /CNI 3.0.0/],
    ["no version", JSON.stringify({ ...LIST, cniVersion: undefined }), /no version/],
  ])("is refused with %s", (_what, text, message) => {
    expect(() => parseNetworkList(text)).toThrow(message);
  });
});

describe("the configuration directory", () => {
  let directory: string;
  const put = (file: string, text: string | object) =>
    writeFileSync(join(directory, file), typeof text === "string" ? text : JSON.stringify(text));
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "lightvm-cni-"));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  it("gives the first network by name, and as it is now", () => {
    put("20-b.conflist", { ...LIST, name: "b" });
    put("10-a.txt", { ...LIST, name: "a" });
    expect(readNetworkList(directory).name).toBe("b");
    put("10-c.conf", { cniVersion: "0.4.0", name: "c", type: "ptp" });
    expect(readNetworkList(directory).name).toBe("c");
    rmSync(join(directory, "10-c.conf"));
    expect(readNetworkList(directory).name).toBe("b");
  });

  it("skips files that are none, and tells of them when there is no other", () => {
    put("10-broken.conflist", "{");
    expect(() => readNetworkList(directory)).toThrow(/10-broken.conflist: it is not valid JSON/);
    put("20-good.conflist", LIST);
    expect(readNetworkList(directory).name).toBe("pods");
  });

  it("may be empty or missing", () => {
    expect(() => readNetworkList(directory)).toThrow(/it holds none/);
    rmSync(directory, { recursive: true });
    expect(() => readNetworkList(directory)).toThrow(/it holds none/);
  });
});
