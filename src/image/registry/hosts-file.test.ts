// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { RegistryServer } from "../../../test/harness/registry-server.ts";
import { parseConfig } from "../../shared/config.ts";
import { parseReference } from "../reference.ts";
import { parseHosts } from "./hosts-file.ts";
import { openRegistry } from "./registry.ts";

describe("hosts.toml", () => {
  it("is read in all its forms", () => {
    const { mirrors, server } = parseHosts(
      `server = "https://registry.example"
       ca = "/etc/ssl/own.pem"
       [host."http://mirror.example:5000"]
       capabilities = ["resolve", "pull", "push"]
       [host."https://second.example/cache/v2"]
       override_path = true
       skip_verify = true
       capabilities = ["pull"]
       ca = ["a.pem", "/b.pem"]
       client = [["c.pem", "c.key"], "d.pem"]
       [host."https://second.example/cache/v2".header]
       x-team = ["one", "two"]
      `,
      "/certs.d/registry.example/hosts.toml",
    );
    expect(server).toMatchObject({ base: new URL("https://registry.example"), verify: true });
    expect(server?.caFiles).toEqual(["/etc/ssl/own.pem"]);
    expect(mirrors).toMatchObject([
      { base: new URL("http://mirror.example:5000"), capabilities: new Set(["resolve", "pull"]) },
      {
        base: new URL("https://second.example/cache/v2"),
        exactPath: true,
        verify: false,
        capabilities: new Set(["pull"]),
        caFiles: ["/certs.d/registry.example/a.pem", "/b.pem"],
        headers: { "x-team": "one, two" },
      },
    ]);
    expect(mirrors[1]?.clientCertificates).toEqual([
      { certificate: "/certs.d/registry.example/c.pem", key: "/certs.d/registry.example/c.key" },
      { certificate: "/certs.d/registry.example/d.pem", key: "/certs.d/registry.example/d.pem" },
    ]);
  });

  it.each([
    ["[host", "/hosts.toml is not valid TOML"],
    ['[host."ftp://x"]', '"ftp://x" is no URL of a registry'],
    ['[host."https://x"]\nskip_verfy = true', "skip_verfy"],
    ['[host."https://x"]\ncapabilities = ["fly"]', "host.https://x.capabilities"],
  ])("that says %j is refused by name", (text, message) => {
    expect(() => parseHosts(text, "/hosts.toml")).toThrow(message);
  });
});

describe("a registry with a hosts.toml", () => {
  let directory: string;
  let mirror: RegistryServer;
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), "lightvm-hosts-"));
    mirror = await RegistryServer.start();
  });
  afterEach(async () => {
    rmSync(directory, { recursive: true });
    await mirror[Symbol.asyncDispose]();
  });

  function open(host: string, settings: string) {
    mkdirSync(join(directory, host));
    const text = `server = "http://127.0.0.1:1"\n[host."http://${mirror.host}"]\n${settings}`;
    writeFileSync(join(directory, host, "hosts.toml"), text);
    const { image } = parseConfig({ image: { hosts_directory: directory } }, "the test");
    return openRegistry(image, parseReference("registry.example/team/app:1"));
  }

  it("is asked at its mirror, with the headers that are for it", async () => {
    const manifest = mirror.putImage("team/app", ["1"], { os: "linux" }, []);
    const header = `[host."http://${mirror.host}".header]\nx-team = "red"`;
    using registry = open("registry.example", header);
    expect((await registry.image()).digest).toBe(manifest.digest);
    expect(mirror.requests[0]?.headers["x-team"]).toBe("red");
    expect(mirror.requests[0]?.path).toContain("ns=registry.example");
  });

  it("falls back to what is said of all", async () => {
    mirror.putImage("team/app", ["1"], { os: "linux" }, []);
    using registry = open("_default", "");
    await expect(registry.image()).resolves.toBeDefined();
  });

  it("does not ask a mirror for more than it can", async () => {
    mirror.putImage("team/app", ["1"], { os: "linux" }, []);
    using registry = open("registry.example", 'capabilities = ["pull"]');
    await expect(registry.image()).rejects.toMatchObject({ code: "unavailable" });
    expect(mirror.requests).toEqual([]);
  });
});
