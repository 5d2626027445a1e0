// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { sha256 } from "./digest.ts";
import { chooseEntry, type IndexEntry, MEDIA_TYPE, parseManifest } from "./manifest.ts";

const digest = sha256(Buffer.from("x"));
const config = { mediaType: MEDIA_TYPE.ociConfig, digest, size: 1 };
const layer = { mediaType: "application/vnd.oci.image.layer.v1.tar+gzip", digest, size: 1 };
const image = { schemaVersion: 2, config, layers: [layer] };

function parse(document: unknown, contentType: string = MEDIA_TYPE.ociManifest) {
  const text = typeof document === "string" ? document : JSON.stringify(document);
  return parseManifest({ digest, contentType, bytes: Buffer.from(text) }, "the manifest");
}

describe("parseManifest", () => {
  it("reads images of both families", () => {
    const expected = {
      annotations: {},
      digest,
      config,
      layers: [layer],
      mediaType: MEDIA_TYPE.ociManifest,
    };
    expect(parse(image)).toEqual({ kind: "image", image: expected });
    const docker = {
      ...image,
      mediaType: MEDIA_TYPE.dockerManifest,
      config: { ...config, mediaType: MEDIA_TYPE.dockerConfig },
    };
    expect(parse(docker, MEDIA_TYPE.dockerManifest).kind).toBe("image");
  });

  it("goes by the shape when no type is named", () => {
    expect(parse(image, "text/plain").kind).toBe("image");
    expect(parse({ schemaVersion: 2, manifests: [] }, "").kind).toBe("index");
  });

  it.each([
    ["{", "not JSON"],
    ["\xff", "not JSON"],
    [null, "malformed"],
    [{ ...image, manifests: [] }, "malformed"],
    [{ ...image, mediaType: MEDIA_TYPE.ociIndex }, "malformed"],
    [{ ...image, layers: [{ ...layer, digest: "sha256:../../etc" }] }, "layers.0.digest"],
    [{ ...image, layers: [{ ...layer, size: -1 }] }, "layers.0.size"],
    [{ ...image, layers: [{ ...layer, size: 1e300 }] }, "layers.0.size"],
    [{ ...image, schemaVersion: 3 }, "schemaVersion"],
    [{ ...image, mediaType: "text/x" }, "says it is"],
  ])("refuses %j as damaged", (document, why) => {
    expect(() => parse(document)).toThrow(why);
    expect(() => parse(document)).toThrow(expect.objectContaining({ code: "data-loss" }));
  });

  it("does not support other documents", () => {
    expect(() => parse({ ...image, mediaType: "text/x" }, "text/x")).toThrow("not an image");
  });

  it.each([
    [{ schemaVersion: 1, fsLayers: [] }, "schema 1"],
    [{ ...image, config: { ...config, mediaType: "text/x" } }, "not a container image"],
  ])("says that %j is not supported", (document, why) => {
    expect(() => parse(document)).toThrow(why);
    expect(() => parse(document)).toThrow(expect.objectContaining({ code: "unimplemented" }));
  });
});

describe("chooseEntry", () => {
  const entry = (os?: string, architecture?: string, variant?: string): IndexEntry => ({
    mediaType: MEDIA_TYPE.ociManifest,
    digest,
    size: 1,
    ...(os !== undefined &&
      architecture !== undefined && { platform: { os, architecture, variant } }),
  });

  it("takes linux/amd64 for any such processor", () => {
    const plain = entry("linux", "amd64");
    const entries = [entry("linux", "arm64"), entry("linux", "amd64", "v3"), plain];
    expect(chooseEntry(entries, "it")).toBe(plain);
  });

  it("takes the only one without a platform", () => {
    const unnamed = entry();
    expect(chooseEntry([entry("unknown", "unknown"), unnamed], "it")).toBe(unnamed);
    expect(() => chooseEntry([unnamed, entry()], "it")).toThrow("linux/amd64");
  });

  it("takes nothing that needs another or a newer processor", () => {
    const entries = [entry("linux", "amd64", "v3"), entry("windows", "amd64")];
    expect(() => chooseEntry(entries, "it")).toThrow(
      expect.objectContaining({ code: "unimplemented" }),
    );
  });
});
