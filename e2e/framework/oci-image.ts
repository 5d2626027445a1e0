// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { type Header, pack } from "tar-stream";

/** One file of a layer; a directory or link has no content. */
export interface LayerEntry extends Partial<Omit<Header, "size" | "name">> {
  readonly name: string;
  readonly content?: string | Uint8Array;
}

export interface ImageSource {
  /** Bottom first. */
  readonly layers: readonly (readonly LayerEntry[])[];
  /** The `config` object of the image configuration: Cmd, Env, User… */
  readonly config?: Record<string, unknown>;
  readonly compression?: "gzip" | "zstd";
  /** Instead of the image configuration that a builder would write. */
  readonly configBytes?: string;
}

/** Content with the digest that names it. */
export interface Blob {
  readonly digest: string;
  readonly bytes: Uint8Array;
}

/** An image as a registry stores it. */
export interface OciImage {
  readonly manifest: Blob;
  readonly blobs: readonly Blob[];
}

export const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
export const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";

function blob(bytes: Uint8Array): Blob {
  return { digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`, bytes };
}

async function tarball(entries: readonly LayerEntry[]): Promise<Uint8Array> {
  const archive = pack();
  for (const { content, ...headers } of entries) {
    archive.entry({ mtime: new Date(0), ...headers }, content ? Buffer.from(content) : "");
  }
  archive.finalize();
  return await buffer(archive);
}

/** Packs layers, configuration and manifest as the OCI image specification (1.1) wants them. */
export async function ociImage(source: ImageSource): Promise<OciImage> {
  const compression = source.compression ?? "gzip";
  const archives = await Promise.all(source.layers.map(tarball));
  const compress = compression === "gzip" ? gzipSync : zstdCompressSync;
  const layers = archives.map((archive) => blob(compress(archive)));
  const json = (value: unknown) => blob(Buffer.from(JSON.stringify(value)));
  const written = json({
    architecture: "amd64",
    os: "linux",
    config: source.config ?? {},
    rootfs: { type: "layers", diff_ids: archives.map((archive) => blob(archive).digest) },
  });
  const { configBytes } = source;
  const config = configBytes === undefined ? written : blob(Buffer.from(configBytes));
  const descriptor = (mediaType: string, { digest, bytes }: Blob) => ({
    mediaType,
    digest,
    size: bytes.length,
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: descriptor("application/vnd.oci.image.config.v1+json", config),
    layers: layers.map((layer) =>
      descriptor(`application/vnd.oci.image.layer.v1.tar+${compression}`, layer),
    ),
  });
  return { manifest, blobs: [config, ...layers] };
}

/** Names under which busybox is linked in the test image: what tests and demo call. */
const APPLETS =
  "sh cat echo env false grep true head hostname id kill ls mount nc ps readlink sleep stat sync tail test touch uname dd wc yes nproc seq";

/** A small Linux user land around a static busybox. */
export function busyboxImage(
  busybox: Uint8Array,
  options: Omit<ImageSource, "layers"> & {
    /** A layer on top, */
    extra?: readonly LayerEntry[];
    /** and others on top of that. */
    more?: readonly (readonly LayerEntry[])[];
  } = {},
): Promise<OciImage> {
  const { extra, more = [], ...source } = options;
  const folder = (name: string, mode = 0o755): LayerEntry => ({ name, type: "directory", mode });
  const file = (name: string, content: string | Uint8Array, mode = 0o644): LayerEntry => ({
    name,
    mode,
    content,
  });
  const base = [
    ...[folder("bin/"), folder("etc/"), folder("root/", 0o700), folder("tmp/", 0o1777)],
    ...[folder("proc/"), folder("sys/"), folder("dev/"), folder("home/"), folder("var/")],
    file("bin/busybox", busybox, 0o755),
    ...APPLETS.split(" ").map(
      (name): LayerEntry => ({ name: `bin/${name}`, type: "symlink", linkname: "busybox" }),
    ),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home:/bin/sh\n"),
    file("etc/group", "root:x:0:\napp:x:1000:\nextra:x:2000:app\n"),
  ];
  return ociImage({
    config: { Env: ["PATH=/bin"], Cmd: ["sh"] },
    ...source,
    layers: [base, ...(extra ? [extra] : []), ...more],
  });
}
