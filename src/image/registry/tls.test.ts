// SPDX-License-Identifier: Apache-2.0
//
// What a node's hosts.toml says of trust, tried on registries that speak TLS.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { Certificates } from "../../../test/harness/certificates.ts";
import {
  RegistryServer,
  type RegistryServerOptions,
} from "../../../test/harness/registry-server.ts";
import { parseConfig } from "../../shared/config.ts";
import { describeError } from "../../shared/errors.ts";
import type { Credentials } from "../images.ts";
import { parseReference } from "../reference.ts";
import { openRegistry } from "./registry.ts";

const user = { username: "me", password: "secret" };

let certificates: Certificates;
let directory: string;
const servers = new Set<RegistryServer>();

beforeAll(() => {
  certificates = new Certificates().authorities("ours", "other");
  certificates.issue("ours", "server", "client").issue("other", "stranger");
  const both = Buffer.concat([certificates.read("client.pem"), certificates.read("client.key")]);
  writeFileSync(certificates.file("both.pem"), both);
});
afterAll(() => certificates[Symbol.dispose]());
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lightvm-hosts-"));
});
afterEach(async () => {
  rmSync(directory, { recursive: true });
  for (const server of servers) await server[Symbol.asyncDispose]();
  servers.clear();
});

/** A registry with a certificate of our authority, and one image. */
async function serve(options: RegistryServerOptions = {}): Promise<RegistryServer> {
  const server = await RegistryServer.start({ tls: certificates.identity("server"), ...options });
  servers.add(server);
  server.putImage("team/app", ["1"], { os: "linux" }, []);
  return server;
}

const pem = (name: string) => JSON.stringify(certificates.file(name));
const ca = (name = "ours.pem") => `ca = ${pem(name)}`;
const client = (name = "client") => `client = [[${pem(`${name}.pem`)}, ${pem(`${name}.key`)}]]`;

function hosts(server: RegistryServer, settings: string, mirrors = ""): void {
  const host = join(directory, "registry.example");
  mkdirSync(host, { recursive: true });
  const text = `server = "${server.url}"\n${settings}\n${mirrors}`;
  writeFileSync(join(host, "hosts.toml"), text);
}

function mirror(server: RegistryServer, settings: string): string {
  return `[host."${server.url}"]\n${settings}\n`;
}

/** "pulled", or why not. */
async function pull(credentials?: Credentials): Promise<string> {
  const { image } = parseConfig({ image: { hosts_directory: directory } }, "the test");
  const reference = parseReference("registry.example/team/app:1");
  using registry = openRegistry(image, reference, credentials);
  try {
    await registry.config(await registry.image());
    return "pulled";
  } catch (error) {
    return describeError(error);
  }
}

describe("a registry over TLS", () => {
  it("is believed when its authority is named, beside the system's", async () => {
    const server = await serve();
    hosts(server, "");
    expect(await pull()).toMatch(/certificate/);
    hosts(server, ca("other.pem"));
    expect(await pull()).toMatch(/certificate/);
    expect(server.requests).toEqual([]);
    hosts(server, `ca = [${pem("other.pem")}, ${pem("ours.pem")}]`);
    expect(await pull()).toBe("pulled");
  });

  it("is not believed under another's name", async () => {
    const server = await serve();
    hosts(server, ca());
    const file = join(directory, "registry.example/hosts.toml");
    const { port } = new URL(server.url);
    writeFileSync(file, `server = "https://localhost:${port}"\n${ca()}\n`);
    expect(await pull()).toMatch(/does not match certificate's altnames/);
    expect(server.requests).toEqual([]);
  });

  it("is believed unseen when nobody is to look", async () => {
    const server = await serve();
    hosts(server, "skip_verify = true");
    expect(await pull()).toBe("pulled");
  });

  it("that wants a certificate gets ours", async () => {
    const server = await serve({ clientAuthority: certificates.read("ours.pem") });
    hosts(server, ca());
    expect(await pull()).toMatch(/registry\.example|127\.0\.0\.1/);
    hosts(server, `${ca()}\n${client("stranger")}`);
    expect(await pull()).not.toBe("pulled");
    expect(server.requests).toEqual([]);
    for (const good of [client(), `client = ${pem("both.pem")}`]) {
      hosts(server, `${ca()}\n${good}`);
      expect(await pull()).toBe("pulled");
    }
  });

  it("names the file that it cannot have", async () => {
    hosts(await serve(), 'ca = "/nowhere/ca.pem"');
    expect(await pull()).toContain("/nowhere/ca.pem");
  });
});

describe("a mirror over TLS", () => {
  it("is asked first", async () => {
    const [server, first] = [await serve(), await serve()];
    hosts(server, ca(), mirror(first, ca()));
    expect(await pull()).toBe("pulled");
    expect(server.requests).toEqual([]);
  });

  it("is passed over when it is not believed or wants a certificate that is the registry's", async () => {
    const clientAuthority = certificates.read("ours.pem");
    const server = await serve({ clientAuthority });
    const unbelieved = await serve();
    const picky = await serve({ clientAuthority });
    const mirrors = mirror(unbelieved, ca("other.pem")) + mirror(picky, ca());
    hosts(server, `${ca()}\n${client()}`, mirrors);
    expect(await pull()).toBe("pulled");
    expect([unbelieved.requests, picky.requests]).toEqual([[], []]);
    expect(server.requests.length).toBeGreaterThan(0);
  });

  it("gives place to the next one when it has no such image", async () => {
    const [server, first, second] = [await serve(), await serve(), await serve()];
    first.fault = () => ({ status: 404 });
    hosts(server, ca(), mirror(first, ca()) + mirror(second, ca()));
    expect(await pull()).toBe("pulled");
    expect(first.requests.length).toBeGreaterThan(0);
    expect(server.requests).toEqual([]);
  });

  it("is believed unseen by itself alone", async () => {
    const [server, first] = [await serve(), await serve()];
    first.fault = () => ({ status: 404 });
    hosts(server, "", mirror(first, "skip_verify = true"));
    expect(await pull()).toMatch(/certificate/);
    expect(server.requests).toEqual([]);
  });

  it("never gets the registry's password, nor the registry a mirror's headers", async () => {
    const auth = { kind: "basic", ...user } as const;
    const [server, first] = [await serve({ auth }), await serve({ auth })];
    const header = `[host."${first.url}".header]\nx-team = "red"\n`;
    hosts(server, ca(), mirror(first, ca()) + header);
    expect(await pull(user)).toBe("pulled");
    expect(first.requests.length).toBeGreaterThan(0);
    for (const { headers } of first.requests) {
      expect(headers).toMatchObject({ "x-team": "red" });
      expect(headers.authorization).toBeUndefined();
    }
    expect(server.requests.some(({ headers }) => headers.authorization !== undefined)).toBe(true);
    for (const { headers } of server.requests) expect(headers["x-team"]).toBeUndefined();
  });
});
