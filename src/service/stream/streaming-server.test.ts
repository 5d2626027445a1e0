// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
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
  let directory: string;
  const file = (name: string) => join(directory, name);
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "lightvm-tls-"));
    const openssl = (line: string) =>
      execFileSync("openssl", line.split(" "), { cwd: directory, stdio: "pipe" });
    const key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    openssl(`req -x509 ${key} -keyout ca.key -out ca.pem -subj /CN=authority -days 2`);
    for (const name of ["server", "client"]) {
      openssl(`req ${key} -keyout ${name}.key -out ${name}.csr -subj /CN=${name}`);
      const by = "-CA ca.pem -CAkey ca.key -CAcreateserial -days 2";
      openssl(`x509 -req -in ${name}.csr ${by} -out ${name}.pem`);
    }
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  it("answers only clients that show one", async () => {
    const tls = {
      certificate_file: file("server.pem"),
      key_file: file("server.key"),
      client_ca_file: file("ca.pem"),
    };
    await using server = await StreamingServer.listen(config({ tls }), silentLogger());
    const url = server.offer(TICKET);
    expect(url).toMatch(/^https:/);
    const status = async (credentials: object) => {
      const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
      const ca = readFileSync(file("ca.pem"));
      const checkServerIdentity = () => undefined;
      get(url, { ca, checkServerIdentity, ...credentials }, (response) => {
        response.resume();
        resolve(response.statusCode);
      }).on("error", reject);
      return await promise;
    };
    const cert = readFileSync(file("client.pem"));
    expect(await status({ cert, key: readFileSync(file("client.key")) })).toBe(400);
    await expect(status({})).rejects.toThrow();
  });
});
