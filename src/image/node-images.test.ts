// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import {
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { layerTar } from "../../test/harness/layer-tar.ts";
import { type Fault, RegistryServer } from "../../test/harness/registry-server.ts";
import { Database } from "../shared/database.ts";
import { silentLogger } from "../shared/logger.ts";
import type { PackErofs } from "./erofs.ts";
import type { Images } from "./images.ts";
import { openImages } from "./open-images.ts";

/** Keeps the archive as the image's file: what mkfs.erofs makes of it is not tried here. */
const keepTar: PackErofs = async (tar, outPath) => {
  const parts: Uint8Array[] = [];
  for await (const part of tar) parts.push(part);
  await writeFile(outPath, Buffer.concat(parts));
};

const GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd";
const DOCKER = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const CONFIG = "application/vnd.oci.image.config.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
const PLAIN = "application/vnd.oci.image.layer.v1.tar";

let directory: string;
let registry: RegistryServer;
let database: Database;
let images: Images;
let packed: number;

const digestOf = (bytes: Uint8Array) =>
  `sha256:${createHash("sha256").update(bytes).digest("hex")}`;

function open(packErofs: PackErofs = keepTar): Promise<Images> {
  const counting: PackErofs = (...all) => {
    packed += 1;
    return packErofs(...all);
  };
  const config = registry.config();
  const logger = silentLogger();
  return openImages({ config, database, directory, logger, packErofs: counting });
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "lightvm-images-"));
  database = new Database(":memory:");
  registry = await RegistryServer.start();
  packed = 0;
  images = await open();
});

afterEach(async () => {
  await registry[Symbol.asyncDispose]();
  database.close();
  rmSync(directory, { recursive: true });
});

const configOf = (tars: readonly Uint8Array[], config: unknown = { Cmd: ["sh"] }) => ({
  architecture: "amd64",
  os: "linux",
  config,
  rootfs: { type: "layers", diff_ids: tars.map(digestOf) },
});

/** An image of one layer with one file, whose content makes it another image. */
function put(tags: readonly string[], content = "1", change: object = {}) {
  const tar = layerTar([{ path: "file", content }]);
  const layer = registry.putBlob(gzipSync(tar), GZIP);
  const manifest = registry.putImage("app", tags, { ...configOf([tar]), ...change }, [layer]);
  return { layer, manifest };
}

const name = (tag: string) => `${registry.host}/app:${tag}`;
const asked = (part: string) => registry.requests.filter(({ path }) => path.includes(part)).length;
const filesLeft = () => readdirSync(join(directory, "work"));

describe("a pull", () => {
  it("brings an image of layers in every format", async () => {
    const tars = ["a", "b", "c", "d"].map((path) => layerTar([{ path, content: path }]));
    const [a, b, c, d] = tars as [Buffer, Buffer, Buffer, Buffer];
    const layers = [
      registry.putBlob(gzipSync(a), GZIP),
      registry.putBlob(zstdCompressSync(b), ZSTD),
      registry.putBlob(gzipSync(c), DOCKER),
      registry.putBlob(d, PLAIN),
    ];
    registry.putImage("app", ["1"], configOf(tars), layers);
    const { id, repoDigests } = await images.pull(name("1"));
    const image = images.get(name("1"));
    expect(image).toMatchObject({ id, repoDigests, repoTags: [name("1")] });
    expect(image?.config.command).toEqual(["sh"]);
    const content = readFileSync(image?.erofsPath ?? "");
    expect(content.length).toBe(image?.size);
    for (const path of ["a", "b", "c", "d"]) expect(content.includes(`${path}\0`)).toBe(true);
    expect(filesLeft()).toEqual([]);
  });

  it("brings an image without layers", async () => {
    registry.putImage("app", ["1"], configOf([]), []);
    await images.pull(name("1"));
    expect(images.list()).toHaveLength(1);
  });

  it("keeps the kernel of a unikernel as a file of its own", async () => {
    const tar = layerTar([{ path: "boot/noop", content: "\x7fELF of noop" }]);
    const layers = [registry.putBlob(gzipSync(tar), GZIP)];
    const labels = { "io.lightvm.unikernel.kernel": "/boot/noop" };
    registry.putImage("app", ["1"], configOf([tar], { Labels: labels }), layers);
    await images.pull(name("1"));
    const kernel = images.get(name("1"))?.kernelPath ?? "";
    expect(readFileSync(kernel, "utf8")).toBe("\x7fELF of noop");
    images = await open();
    expect(images.get(name("1"))?.kernelPath).toBe(kernel);
    await images.remove(name("1"));
    expect(readdirSync(directory)).toEqual(["work"]);
  });

  it("takes a manifest's annotations for a unikernel's labels, and no others", async () => {
    const tar = layerTar([{ path: "noop", content: "1" }]);
    const config = registry.putBlob(Buffer.from(JSON.stringify(configOf([tar]))), CONFIG);
    const layers = [registry.putBlob(gzipSync(tar), GZIP)];
    const annotations = { "io.lightvm.unikernel.kernel": "noop", "org.other": "x" };
    const document = { schemaVersion: 2, mediaType: MANIFEST, config, layers, annotations };
    registry.putManifest("app", ["1"], document, MANIFEST);
    await images.pull(name("1"));
    expect(images.get(name("1"))).toMatchObject({
      kernelPath: expect.stringMatching(/\.kernel$/),
      config: { labels: { "io.lightvm.unikernel.kernel": "noop" } },
    });
  });

  it("refuses a unikernel without its kernel", async () => {
    put(["1"], "1", { config: { Labels: { "io.lightvm.unikernel.kernel": "/missing" } } });
    await expect(images.pull(name("1"))).rejects.toThrow('the image has no file "/missing"');
    expect(filesLeft()).toEqual([]);
  });

  it("does not fetch again what is here", async () => {
    const { layer, manifest } = put(["1", "2"]);
    const { id } = await images.pull(name("1"));
    await images.pull(name("2"));
    await images.pull(name("1"));
    expect(asked(layer.digest)).toBe(1);
    expect(images.get(id)?.repoTags).toEqual([name("1"), name("2")]);
    const before = registry.requests.length;
    await images.pull(`${registry.host}/app@${manifest.digest}`);
    expect(registry.requests.length).toBe(before);
  });

  it("moves a tag to the image that it names now", async () => {
    put(["1"], "old");
    const old = await images.pull(name("1"));
    put(["1"], "new");
    const { id } = await images.pull(name("1"));
    expect(id).not.toBe(old.id);
    expect(images.get(name("1"))?.id).toBe(id);
    expect(images.get(old.id)).toMatchObject({ repoTags: [], repoDigests: old.repoDigests });
  });

  it("goes on where the connection was cut", async () => {
    const tar = layerTar([{ path: "file", content: Buffer.alloc(300_000, "noise") }]);
    const layer = registry.putBlob(tar, PLAIN);
    registry.putImage("app", ["1"], configOf([tar]), [layer]);
    let cuts = 0;
    registry.fault = ({ path }): Fault | undefined => {
      if (!path.includes(layer.digest) || cuts === 2) return undefined;
      cuts += 1;
      return { cutAfter: 100_000 };
    };
    await images.pull(name("1"));
    const ranges = registry.requests
      .filter(({ path }) => path.includes(layer.digest))
      .map(({ headers }) => headers.range);
    expect(ranges).toHaveLength(3);
    expect(ranges[2]).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it("starts again where the server cannot go on", async () => {
    await registry[Symbol.asyncDispose]();
    registry = await RegistryServer.start({ ranges: false });
    images = await open();
    const { layer } = put(["1"], "x".repeat(50_000));
    let cut = false;
    registry.fault = ({ path }): Fault | undefined => {
      if (cut || !path.includes(layer.digest)) return undefined;
      cut = true;
      return { cutAfter: 30 };
    };
    await images.pull(name("1"));
    expect(asked(layer.digest)).toBe(2);
  });

  it("ends when the server cuts every time", async () => {
    const { layer } = put(["1"]);
    registry.fault = ({ path }) => (path.includes(layer.digest) ? { cutAfter: 0 } : undefined);
    await expect(images.pull(name("1"))).rejects.toMatchObject({ code: "unavailable" });
    expect(images.list()).toEqual([]);
    expect(filesLeft()).toEqual([]);
  });
});

describe("a pull refuses", () => {
  const tar = layerTar([{ path: "file" }]);
  const gzip = gzipSync(tar);
  const layer = (bytes: Uint8Array, mediaType = GZIP) => [registry.putBlob(bytes, mediaType)];
  it.each<[string, string, () => unknown]>([
    ["a reference that is none", "invalid-argument", () => registry.putBlob(tar)],
    [
      "a layer that is not its diff id",
      "data-loss",
      () => registry.putImage("app", ["1"], configOf([gzip]), layer(gzip)),
    ],
    [
      "a layer that ends early",
      "data-loss",
      () => registry.putImage("app", ["1"], configOf([tar]), layer(gzip.subarray(0, 60))),
    ],
    [
      "a layer that is no tar",
      "data-loss",
      () => {
        const noise = Buffer.alloc(2000, "noise");
        registry.putImage("app", ["1"], configOf([noise]), layer(noise, PLAIN));
      },
    ],
    [
      "a layer of an unknown kind",
      "unimplemented",
      () => registry.putImage("app", ["1"], configOf([tar]), layer(gzip, `${GZIP}+encrypted`)),
    ],
    [
      "more layers than diff ids",
      "data-loss",
      () => registry.putImage("app", ["1"], configOf([]), layer(gzip)),
    ],
    ["a configuration that is none", "data-loss", () => registry.putImage("app", ["1"], [], [])],
    [
      "a variable without a name",
      "data-loss",
      () => registry.putImage("app", ["1"], configOf([], { Env: ["=1"] }), []),
    ],
    [
      "arguments with a zero byte",
      "data-loss",
      () => registry.putImage("app", ["1"], configOf([], { Cmd: ["a\0b"] }), []),
    ],
    [
      "another platform",
      "unimplemented",
      () => registry.putImage("app", ["1"], { ...configOf([]), architecture: "arm64" }, []),
    ],
    [
      "a corrupt blob",
      "data-loss",
      () => {
        const [stored] = layer(gzip);
        registry.putImage("app", ["1"], configOf([tar]), stored ? [stored] : []);
        const bad = Buffer.from(gzip);
        bad[12] = (bad[12] ?? 0) ^ 1;
        registry.blobs.set(stored?.digest ?? "", bad);
      },
    ],
  ])("%s", async (what, code, prepare) => {
    prepare();
    const text = what === "a reference that is none" ? "No Reference" : name("1");
    await expect(images.pull(text)).rejects.toMatchObject({ code });
    expect(images.list()).toEqual([]);
    expect(filesLeft()).toEqual([]);
    expect(readdirSync(directory)).toEqual(["work"]);
  });

  it("a full disk", async () => {
    put(["1"]);
    images = await open(() =>
      Promise.reject(Object.assign(new Error("write failed"), { code: "ENOSPC" })),
    );
    await expect(images.pull(name("1"))).rejects.toMatchObject({ code: "resource-exhausted" });
    expect(filesLeft()).toEqual([]);
  });
});

describe("concurrent pulls", () => {
  /** Packs when it is told to; aborts when its signal does. */
  function gate() {
    const { promise: entered, resolve: enter } = Promise.withResolvers<void>();
    const { promise: opened, resolve: open_ } = Promise.withResolvers<void>();
    const ended = Promise.withResolvers<void>();
    const pack: PackErofs = async (tar, outPath, signal) => {
      enter();
      const aborted = new Promise<never>((_, reject) =>
        signal?.addEventListener("abort", () => {
          ended.resolve();
          reject(signal.reason);
        }),
      );
      await Promise.race([opened, aborted]);
      await keepTar(tar, outPath, signal);
    };
    return { entered, open: open_, aborted: ended.promise, pack };
  }

  it("of one image share the work, whatever they call it", async () => {
    const { layer } = put(["1", "2"]);
    const pulls = ["1", "2", "1"].map((tag) => images.pull(name(tag)));
    const ids = (await Promise.all(pulls)).map(({ id }) => id);
    expect(new Set(ids).size).toBe(1);
    expect(packed).toBe(1);
    expect(asked(layer.digest)).toBe(1);
    expect(images.list()[0]?.repoTags).toEqual([name("1"), name("2")]);
  });

  it("go on when one caller gives up, and end when the last one does", async () => {
    put(["1"]);
    for (const all of [false, true]) {
      const { entered, open: release, aborted, pack } = gate();
      images = await open(pack);
      const first = new AbortController();
      const second = new AbortController();
      const one = images.pull(name("1"), { signal: first.signal });
      const two = images.pull(name("1"), { signal: second.signal });
      const failed = [one, two].map((pull) => pull.catch((error: unknown) => error));
      await entered;
      first.abort();
      expect(await failed[0]).toMatchObject({ code: "cancelled" });
      if (all) {
        second.abort();
        expect(await failed[1]).toMatchObject({ code: "cancelled" });
        await aborted;
      } else {
        release();
        await two;
        await images.remove(name("1"));
      }
    }
    expect(images.list()).toEqual([]);
  });
});

describe("the store", () => {
  it("finds images by every name that they have", async () => {
    const { manifest } = put(["latest"]);
    const { id } = await images.pull(`${registry.host}/app`);
    const hex = id.slice("sha256:".length);
    const names = [id, hex, hex.slice(0, 12), `sha256:${hex.slice(0, 20)}`];
    names.push(`${registry.host}/app`, name("latest"), `${registry.host}/app@${manifest.digest}`);
    for (const text of names) expect(images.get(text)?.id, text).toBe(id);
    for (const text of [hex.slice(0, 11), "", "No Reference", "app", name("2")]) {
      expect(images.get(text), text).toBeUndefined();
      expect(images.list(text)).toEqual([]);
    }
  });

  it("keeps its images over a restart", async () => {
    put(["1"]);
    await images.pull(name("1"));
    const before = images.list();
    images = await open();
    expect(images.list()).toEqual(before);
  });

  it("removes what a crash left", async () => {
    put(["1"]);
    await images.pull(name("1"));
    writeFileSync(join(directory, "work", "layer.tar"), "half");
    writeFileSync(join(directory, "0123.erofs"), "no record");
    const [kept] = images.list();
    images = await open();
    expect(
      readdirSync(directory)
        .map((file) => join(directory, file))
        .sort(),
    ).toEqual([kept?.erofsPath, join(directory, "work")].sort());
    expect(filesLeft()).toEqual([]);
    expect(images.list()).toHaveLength(1);
  });

  it.each(["gone", "short"])(
    "drops an image whose file is %s; a pull brings it back",
    async (how) => {
      put(["1"]);
      await images.pull(name("1"));
      const path = images.list()[0]?.erofsPath ?? "";
      if (how === "gone") rmSync(path);
      else truncateSync(path, 10);
      images = await open();
      expect(images.list()).toEqual([]);
      await images.pull(name("1"));
      expect(images.list()).toHaveLength(1);
    },
  );

  it("removes a tag alone while others lead to the image, else the image", async () => {
    put(["1", "2"]);
    await images.pull(name("1"));
    await images.pull(name("2"));
    await images.remove(name("1"));
    expect(images.list()[0]?.repoTags).toEqual([name("2")]);
    await images.remove(name("1"));
    await images.remove(name("2"));
    expect(images.list()).toEqual([]);
    expect(readdirSync(directory)).toEqual(["work"]);
  });

  it.each(["id", "digest"])("removes the image by its %s, with all tags", async (by) => {
    put(["1", "2"]);
    await images.pull(name("1"));
    const { id, repoDigests } = await images.pull(name("2"));
    await images.remove(by === "id" ? id : (repoDigests[0] ?? ""));
    expect(images.list()).toEqual([]);
  });

  it("says what it takes of the disk", async () => {
    const empty = await images.fsInfo();
    put(["1"]);
    await images.pull(name("1"));
    const info = await images.fsInfo();
    expect(info.mountpoint).toBe(directory);
    expect(info.usedInodes).toBe(empty.usedInodes + 1);
    expect(info.usedBytes).toBeGreaterThan(empty.usedBytes);
  });
});
