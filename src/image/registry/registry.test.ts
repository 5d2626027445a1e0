// SPDX-License-Identifier: Apache-2.0

import type { AddressInfo } from "node:net";
import { createServer } from "node:net";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type Fault, RegistryServer } from "../../../test/harness/registry-server.ts";
import type { Config } from "../../shared/config.ts";
import { parseReference } from "../reference.ts";
import { MEDIA_TYPE } from "./manifest.ts";
import { openRegistry, type Registry } from "./registry.ts";

const LAYER = Buffer.alloc(300_000, "layer");
const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar";
const SILENCE_MS = 200;

let server: RegistryServer;
const opened: Registry[] = [];

beforeEach(async () => {
  server = await RegistryServer.start();
});
afterEach(async () => {
  for (const registry of opened.splice(0)) registry[Symbol.dispose]();
  await server[Symbol.asyncDispose]();
});

function open(name: string, config: Config["image"] = server.config()): Registry {
  const reference = parseReference(`${server.host}/${name}`);
  const registry = openRegistry(config, reference, undefined, { silenceMs: SILENCE_MS });
  opened.push(registry);
  return registry;
}

function put(on: RegistryServer = server) {
  const layer = on.putBlob(LAYER, LAYER_TYPE);
  return { layer, image: on.putImage("team/app", ["1"], { os: "linux" }, [layer]) };
}

async function read(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const chunk of chunks) parts.push(chunk);
  return Buffer.concat(parts);
}

function failBlobs(fault: Fault): void {
  server.fault = ({ path }) => (path.includes("/blobs/") ? fault : undefined);
}

/** A port on which nobody listens. */
async function deadUrl(): Promise<string> {
  const listener = createServer();
  await new Promise<void>((resolve) => listener.listen(0, "127.0.0.1", resolve));
  const { port } = listener.address() as AddressInfo;
  await new Promise((resolve) => listener.close(resolve));
  return `http://127.0.0.1:${port}`;
}

describe("image", () => {
  it("reads an image by tag and by digest", async () => {
    const { layer, image } = put();
    const found = await open("team/app:1").image();
    expect(found).toMatchObject({ digest: image.digest, referenceDigest: image.digest });
    expect(found.layers).toEqual([layer]);
    const registry = open(`team/app@${image.digest}`);
    expect(await registry.image()).toEqual(found);
    expect(Buffer.from(await registry.config(found)).toString()).toBe('{"os":"linux"}');
  });

  it("follows an index, and keeps its digest", async () => {
    const { image } = put();
    const platform = { os: "linux", architecture: "amd64" };
    const manifests = [{ ...image, platform }];
    const document = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests };
    const index = server.putManifest("team/app", ["multi"], document, MEDIA_TYPE.ociIndex);
    const found = await open("team/app:multi").image();
    expect(found).toMatchObject({ digest: image.digest, referenceDigest: index.digest });
  });

  it.each<[string, Fault, string]>([
    ["not-found", { status: 404 }, "404"],
    ["unauthenticated", { status: 403 }, "403"],
    ["unavailable", { status: 500 }, "500"],
    ["unavailable", { status: 429 }, "429"],
    ["unavailable", { silent: true }, "does not answer"],
    ["unavailable", { silentAfter: 5 }, "stopped in the middle"],
    ["unavailable", { cutAfter: 5 }, "stopped in the middle"],
    ["data-loss", { replace: Buffer.from("<html>") }, "not JSON"],
    ["data-loss", { replace: Buffer.alloc(4 * 1024 * 1024 + 1) }, "larger than"],
    ["data-loss", { redirect: "ftp://example.test/" }, "nowhere"],
    ["unavailable", { redirect: "?again" }, "circles"],
    ["data-loss", { status: 416 }, "not JSON"],
  ])("fails with %s after %j", async (code, fault, message) => {
    put();
    server.fault = () => fault;
    const error: unknown = await open("team/app:1")
      .image()
      .catch((it: unknown) => it);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  });

  it("tells what the registry says", async () => {
    await expect(open("none").image()).rejects.toThrow("MANIFEST_UNKNOWN: not here");
  });

  it("refuses a manifest that is not the one with the digest", async () => {
    const { image } = put();
    server.fault = () => ({ replace: Buffer.from("{}") });
    await expect(open(`team/app@${image.digest}`).image()).rejects.toMatchObject({
      code: "data-loss",
      message: expect.stringContaining("does not match its digest"),
    });
  });

  it("ends when the caller gives up", async () => {
    server.fault = () => ({ silent: true });
    const controller = new AbortController();
    const waiting = open("team/app:1").image(controller.signal);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "cancelled" });
  });
});

describe("mirrors", () => {
  it("are asked first, and told whose they are", async () => {
    await using mirror = await RegistryServer.start();
    put(mirror);
    await open("team/app:1", server.config([mirror.url])).image();
    expect(server.requests).toEqual([]);
    expect(mirror.requests[0]?.path).toBe(
      `/v2/team/app/manifests/1?ns=${encodeURIComponent(server.host)}`,
    );
  });

  it("are passed over when they are dead, empty or wrong", async () => {
    const { image } = put();
    await using empty = await RegistryServer.start();
    await using wrong = await RegistryServer.start();
    put(wrong);
    wrong.fault = () => ({ replace: Buffer.from("{}") });
    const config = server.config([await deadUrl(), empty.url, wrong.url]);
    const found = await open(`team/app@${image.digest}`, config).image();
    expect(found.digest).toBe(image.digest);
  });

  it("appear in the error when nobody helps, whose code is the registry's", async () => {
    const url = await deadUrl();
    await expect(open("none", server.config([url])).image()).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining(new URL(url).host),
    });
  });
});

describe("blob", () => {
  it("reads a blob whole, from the middle and at its end", async () => {
    const { layer } = put();
    const registry = open("team/app:1");
    const whole = await registry.blob(layer, 0);
    expect(whole.offset).toBe(0);
    expect(await read(whole.chunks)).toEqual(LAYER);
    const rest = await registry.blob(layer, 1000);
    expect(rest.offset).toBe(1000);
    expect(await read(rest.chunks)).toEqual(LAYER.subarray(1000));
    const none = await registry.blob(layer, LAYER.length);
    expect(await read(none.chunks)).toEqual(Buffer.alloc(0));
  });

  it("says when the server starts from the beginning all the same", async () => {
    await using simple = await RegistryServer.start({ ranges: false });
    const { layer } = put(simple);
    using registry = openRegistry(simple.config(), parseReference(`${simple.host}/team/app:1`));
    const body = await registry.blob(layer, 1000);
    expect(body.offset).toBe(0);
    expect(await read(body.chunks)).toEqual(LAYER);
  });

  it.each<[string, Fault]>([
    ["unavailable", { cutAfter: 1000 }],
    ["unavailable", { silentAfter: 1000 }],
    ["unavailable", { replace: LAYER.subarray(1) }],
    ["data-loss", { replace: Buffer.concat([LAYER, LAYER]) }],
  ])("fails with %s in the middle", async (code, fault) => {
    const { layer } = put();
    failBlobs(fault);
    const body = await open("team/app:1").blob(layer, 0);
    await expect(read(body.chunks)).rejects.toMatchObject({ code });
  });

  it("can go on where it was cut", async () => {
    const { layer } = put();
    const registry = open("team/app:1");
    failBlobs({ cutAfter: 1000 });
    const parts: Uint8Array[] = [];
    const first = await registry.blob(layer, 0);
    const reading = (async () => {
      for await (const chunk of first.chunks) parts.push(chunk);
    })();
    await expect(reading).rejects.toMatchObject({ code: "unavailable" });
    server.fault = undefined;
    const second = await registry.blob(layer, Buffer.concat(parts).length);
    parts.push(await read(second.chunks));
    expect(Buffer.concat(parts)).toEqual(LAYER);
  });

  it("ends in the middle when the caller gives up or the registry is closed", async () => {
    const { layer } = put();
    failBlobs({ silentAfter: 1000 });
    const controller = new AbortController();
    const body = await open("team/app:1").blob(layer, 0, controller.signal);
    const reading = read(body.chunks);
    controller.abort();
    await expect(reading).rejects.toMatchObject({ code: "cancelled" });
    const registry = open("team/app:1");
    const other = await registry.blob(layer, 0);
    registry[Symbol.dispose]();
    await expect(read(other.chunks)).rejects.toMatchObject({ code: "unavailable" });
  });

  it("does not take our credentials to where a redirect leads", async () => {
    const { layer } = put();
    await using storage = await RegistryServer.start();
    storage.putBlob(LAYER);
    failBlobs({ redirect: `${storage.url}/v2/x/blobs/${layer.digest}` });
    const reference = parseReference(`${server.host}/team/app:1`);
    using registry = openRegistry(server.config(), reference, { registryToken: "secret" });
    const body = await registry.blob(layer, 1000);
    expect(await read(body.chunks)).toEqual(LAYER.subarray(1000));
    expect(server.requests[0]?.headers.authorization).toBe("Bearer secret");
    expect(storage.requests[0]?.headers.authorization).toBeUndefined();
    expect(storage.requests[0]?.headers.range).toBe("bytes=1000-");
  });
});
