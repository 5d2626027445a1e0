// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RegistryServer, type ServerAuth } from "../../../test/harness/registry-server.ts";
import type { Credentials } from "../images.ts";
import { parseReference } from "../reference.ts";
import { parseChallenges } from "./authentication.ts";
import { openRegistry } from "./registry.ts";

const user = { username: "ann", password: "s:ecret" };

async function serve(auth: ServerAuth): Promise<RegistryServer> {
  const server = await RegistryServer.start({ auth });
  server.putImage("app", ["1"], {}, []);
  return server;
}

async function pull(server: RegistryServer, credentials?: Credentials) {
  using registry = openRegistry(
    server.config(),
    parseReference(`${server.host}/app:1`),
    credentials,
  );
  return await registry.config(await registry.image());
}

describe("a registry that wants to know who pulls", () => {
  it.each<[string, ServerAuth, Credentials | undefined]>([
    ["anonymous tokens", { kind: "bearer" }, undefined],
    ["tokens for a password", { kind: "bearer", ...user }, user],
    ["tokens for an identity", { kind: "bearer", identityToken: "id" }, { identityToken: "id" }],
    ["Basic", { kind: "basic", ...user }, user],
  ])("is satisfied: %s", async (_, auth, credentials) => {
    await using server = await serve(auth);
    expect(Buffer.from(await pull(server, credentials)).toString()).toBe("{}");
    expect(server.requests.filter(({ path }) => path.startsWith("/token")).length).toBe(
      auth.kind === "bearer" ? 1 : 0,
    );
  });

  it("takes a registry token as it is", async () => {
    await using server = await serve({ kind: "bearer" });
    server.tokens.add("given");
    await pull(server, { registryToken: "given" });
    expect(server.requests.every(({ path }) => !path.startsWith("/token"))).toBe(true);
  });

  it.each<[string, ServerAuth, Credentials | undefined]>([
    ["nobody", { kind: "basic", ...user }, undefined],
    ["a wrong password", { kind: "basic", ...user }, { username: "ann", password: "x" }],
    ["nobody at the token service", { kind: "bearer", ...user }, undefined],
    ["a wrong registry token", { kind: "bearer" }, { registryToken: "x" }],
  ])("refuses %s", async (_, auth, credentials) => {
    await using server = await serve(auth);
    await expect(pull(server, credentials)).rejects.toMatchObject({ code: "unauthenticated" });
    expect(server.requests.length).toBeLessThanOrEqual(2);
  });

  it("gets a new token when the old one has expired", async () => {
    await using server = await serve({ kind: "bearer" });
    using registry = openRegistry(server.config(), parseReference(`${server.host}/app:1`));
    const image = await registry.image();
    server.tokens.clear();
    expect(Buffer.from(await registry.config(image)).toString()).toBe("{}");
  });

  it("keeps the credentials from mirrors", async () => {
    await using server = await serve({ kind: "basic", ...user });
    await using mirror = await serve({ kind: "basic", ...user });
    using registry = openRegistry(
      server.config([mirror.url]),
      parseReference(`${server.host}/app:1`),
      user,
    );
    await registry.image();
    expect(mirror.requests.length).toBe(1);
    expect(mirror.requests[0]?.headers.authorization).toBeUndefined();
  });
});

describe("parseChallenges", () => {
  it("reads several schemes in one header", () => {
    const header = 'Basic realm="a, \\"b\\"", Bearer realm="https://x/t",service=s,scope="p:q r"';
    expect(parseChallenges(header)).toEqual([
      { scheme: "basic", parameters: new Map([["realm", 'a, "b"']]) },
      {
        scheme: "bearer",
        parameters: new Map([
          ["realm", "https://x/t"],
          ["service", "s"],
          ["scope", "p:q r"],
        ]),
      },
    ]);
  });

  it("ends for every text", () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'aB=", \\\t') }), (text) => {
        expect(Array.isArray(parseChallenges(text))).toBe(true);
      }),
    );
    expect(parseChallenges("")).toEqual([]);
  });
});
