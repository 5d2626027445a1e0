// SPDX-License-Identifier: Apache-2.0

/** Makes the OCI image of a unikernel: OCI image specification 1.1. The same kernel, the same bytes. */
import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { MEDIA_TYPE } from "./registry/manifest.ts";
import { NO_ATTRIBUTES, paddingOf } from "./tar/tar-entry.ts";
import { encodeEntry, TAR_END } from "./tar/tar-writer.ts";
import { UNIKERNEL_LABELS, type Unikernel } from "./unikernel.ts";

/** Content with the digest that names it. */
export interface Blob {
  /** "sha256:…" */
  readonly digest: string;
  readonly bytes: Buffer;
}

/** An image as registries and layouts keep it. */
export interface OciImage {
  readonly manifest: Blob;
  /** Configuration and layers. */
  readonly blobs: readonly Blob[];
}

const LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip";
const LAYOUT_VERSION = "1.0.0";
/** Names the image in an index, for tools that load it. */
const REF_NAME = "org.opencontainers.image.ref.name";

/** An image of one layer with the kernel in it; labels and annotations say what it is. */
export function unikernelImage(kernel: Buffer, unikernel: Unikernel): OciImage {
  const labels = {
    [UNIKERNEL_LABELS.kernel]: unikernel.kernel,
    [UNIKERNEL_LABELS.commandLine]: unikernel.commandLine,
    [UNIKERNEL_LABELS.memory]: String(unikernel.memoryBytes),
    [UNIKERNEL_LABELS.signOfLife]: unikernel.signOfLife,
    [UNIKERNEL_LABELS.network]: unikernel.network,
  };
  const tar = Buffer.concat([file(unikernel.kernel.slice(1), kernel), TAR_END]);
  const layer = blob(gzipSync(tar, { level: 9 }));
  const config = json({
    architecture: "amd64",
    os: "linux",
    // A command, for tools that refuse an image without one.
    config: { Entrypoint: [unikernel.kernel], Labels: labels },
    rootfs: { type: "layers", diff_ids: [blob(tar).digest] },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociManifest,
    config: descriptor(MEDIA_TYPE.ociConfig, config),
    layers: [descriptor(LAYER_TYPE, layer)],
    annotations: labels,
  });
  return { manifest, blobs: [config, layer] };
}

/** The image as a tar of an OCI layout, which skopeo, crane, podman and containerd read. */
export function ociLayout({ manifest, blobs }: OciImage, name: string): Buffer {
  const index = json({
    schemaVersion: 2,
    mediaType: MEDIA_TYPE.ociIndex,
    manifests: [
      {
        ...descriptor(MEDIA_TYPE.ociManifest, manifest),
        platform: { os: "linux", architecture: "amd64" },
        annotations: { [REF_NAME]: name },
      },
    ],
  });
  const layout = json({ imageLayoutVersion: LAYOUT_VERSION });
  return Buffer.concat([
    file("oci-layout", layout.bytes),
    file("index.json", index.bytes),
    ...[manifest, ...blobs].map(({ digest, bytes }) =>
      file(`blobs/${digest.replace(":", "/")}`, bytes),
    ),
    TAR_END,
  ]);
}

function file(path: string, content: Buffer): Buffer {
  const header = encodeEntry({
    type: "file",
    path,
    linkPath: "",
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 0,
    mtimeNanoseconds: 0,
    attributes: NO_ATTRIBUTES,
    size: content.length,
    major: 0,
    minor: 0,
  });
  return Buffer.concat([header, content, Buffer.alloc(paddingOf(content.length))]);
}

function blob(bytes: Buffer): Blob {
  return { digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`, bytes };
}

function json(value: object): Blob {
  return blob(Buffer.from(JSON.stringify(value)));
}

function descriptor(mediaType: string, { digest, bytes }: Blob) {
  return { mediaType, digest, size: bytes.length };
}
