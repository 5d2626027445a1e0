// SPDX-License-Identifier: Apache-2.0
import { get } from "node:https";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Certificates } from "../../../test/harness/certificates.ts";
import { parseConfig } from "../../shared/config.ts";
import { silentLogger } from "../../shared/logger.ts";
import { StreamingServer } from "./streaming-server.ts";

const TICKET = { kind: "portforward", ports: [], connect: () => Promise.reject() } as const;

function config(streaming: object) {
  return parseConfig({ streaming }, "the test").streaming;
}

describe("the streaming server", () => {
  it("needs TLS where others can reach it", () => {
    expect(() => config({ address: "0.0.0.0" })).toThrow(/streaming\.tls/);
    expect(() => config({ address: "localhost" })).toThrow(/streaming\.address/);
    expect(config({})).toEqual({ address: "127.0.0.1", port: 0 });
    expect(config({ address: "::1" }).address).toBe("::1");
  });

  it("serves on the address that is configured, and says when it can't", async () => {
    await using server = await StreamingServer.listen(config({ address: "::1" }), silentLogger());
    const url = new URL(server.offer(TICKET));
    expect(url.host).toMatch(/^\[::1\]:\d+$/);
    expect((await fetch(url)).status).toBe(400);
    const taken = StreamingServer.listen(
      config({ address: "::1", port: Number(url.port) }),
      silentLogger(),
    );
    await expect(taken).rejects.toMatchObject({ code: "unavailable" });
    const tls = { certificate_file: "/nowhere", key_file: "/nowhere" };
    await expect(StreamingServer.listen(config({ tls }), silentLogger())).rejects.toThrow(
      /cannot read \/nowhere/,
    );
  });
});

describe("with certificates", () => {
  let certificates: Certificates;
  beforeAll(() => {
    certificates = new Certificates().authorities("ca").issue("ca", "server", "client");
  });
  afterAll(() => certificates[Symbol.dispose]());

  it("answers only clients that show one", async () => {
    const tls = {
      certificate_file: certificates.file("server.pem"),
      key_file: certificates.file("server.key"),
      client_ca_file: certificates.file("ca.pem"),
    };
    await using server = await StreamingServer.listen(config({ tls }), silentLogger());
    const url = server.offer(TICKET);
    expect(url).toMatch(/^https:/);
    const status = async (credentials: object) => {
      const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
      const ca = certificates.read("ca.pem");
      get(url, { ca, ...credentials }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on("error", reject);
      return await promise;
    };
    expect(await status(certificates.identity("client"))).toBe(400);
    await expect(status({})).rejects.toThrow();
  });
});
