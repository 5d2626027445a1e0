// SPDX-License-Identifier: Apache-2.0

/** Manifests and indexes: OCI image specification 1.1 and Docker's schema 2. */
import { z } from "zod";
import { LightvmError } from "../../shared/errors.ts";
import { isDigest } from "../reference.ts";

export const MEDIA_TYPE = {
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
} as const;

/** What is asked for when a manifest is asked for. */
export const MANIFEST_ACCEPT = [
  MEDIA_TYPE.ociManifest,
  MEDIA_TYPE.ociIndex,
  MEDIA_TYPE.dockerManifest,
  MEDIA_TYPE.dockerList,
].join(", ");

/** Largest manifest or index that is read, bytes; registries refuse to store larger ones. */
export const MAX_MANIFEST_BYTES = 4 * 1024 * 1024;

/** Points at content: what it is, its digest, its size in bytes. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** A manifest as it came, its bytes verified against `digest`. */
export interface RawManifest {
  readonly digest: string;
  /** The Content-Type, without parameters. */
  readonly contentType: string;
  readonly bytes: Uint8Array;
}

/** An image for one platform. */
export interface ImageManifest {
  /** Digest of what the reference led to: the index if there is one. For repoDigests. */
  readonly referenceDigest: string;
  /** Digest of the image manifest itself. */
  readonly digest: string;
  readonly mediaType: string;
  /** Its digest is the image id. */
  readonly config: Descriptor;
  /** In order of application. Media types are as in the manifest, any may occur. */
  readonly layers: readonly Descriptor[];
  readonly annotations: Readonly<Record<string, string>>;
}

/** An entry of an index. */
export type IndexEntry = z.output<typeof indexEntry>;

export type ParsedManifest =
  | { readonly kind: "image"; readonly image: Omit<ImageManifest, "referenceDigest"> }
  | { readonly kind: "index"; readonly entries: readonly IndexEntry[] };

const descriptor = z.object({
  mediaType: z.string(),
  digest: z.string().refine(isDigest, "must be a sha256 or sha512 digest"),
  size: z.number().int().nonnegative(),
});
const imageDocument = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  config: descriptor,
  layers: z.array(descriptor),
  annotations: z
    .record(z.string(), z.string())
    .nullish()
    .transform((value) => value ?? {}),
  // A document that can be read as two things could be two images under one digest.
  manifests: z.undefined().optional(),
});
const indexEntry = descriptor.extend({
  platform: z
    .object({ os: z.string(), architecture: z.string(), variant: z.string().optional() })
    .optional(),
});
const indexDocument = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().optional(),
  manifests: z.array(indexEntry),
  config: z.undefined().optional(),
  layers: z.undefined().optional(),
});
const header = z.object({
  schemaVersion: z.number(),
  mediaType: z.string().optional(),
  manifests: z.unknown().optional(),
});

const known: ReadonlySet<string> = new Set(Object.values(MEDIA_TYPE));
const isIndexType = (type: string) =>
  type === MEDIA_TYPE.ociIndex || type === MEDIA_TYPE.dockerList;
const isManifestType = (type: string) =>
  type === MEDIA_TYPE.ociManifest || type === MEDIA_TYPE.dockerManifest;

/** Reads a manifest or an index. `what` names it in errors: "data-loss", "unimplemented". */
export function parseManifest(raw: RawManifest, what: string): ParsedManifest {
  const document = parseJson(raw.bytes, what);
  const head = check(header, document, what);
  if (head.schemaVersion === 1) {
    throw new LightvmError(
      "unimplemented",
      `${what} has schema 1, which is no longer read; push the image again with a current tool`,
    );
  }
  const type = mediaTypeOf(head, raw.contentType, what);
  if (isIndexType(type)) {
    return { kind: "index", entries: check(indexDocument, document, what).manifests };
  }
  const { config, layers, annotations } = check(imageDocument, document, what);
  if (config.mediaType !== MEDIA_TYPE.ociConfig && config.mediaType !== MEDIA_TYPE.dockerConfig) {
    throw new LightvmError(
      "unimplemented",
      `${what} is not a container image: its configuration is ${JSON.stringify(config.mediaType)}`,
    );
  }
  return {
    kind: "image",
    image: { digest: raw.digest, mediaType: type, config, layers, annotations },
  };
}

/**
 * The entry for linux/amd64, any such processor; else the only image that names no platform.
 * Throws "unimplemented" when there is none.
 */
export function chooseEntry(entries: readonly IndexEntry[], what: string): IndexEntry {
  const images = entries.filter((it) => isManifestType(it.mediaType) || isIndexType(it.mediaType));
  const matching = images.find(
    ({ platform: it }) =>
      it?.os === "linux" &&
      it.architecture === "amd64" &&
      (it.variant === undefined || it.variant === "" || it.variant === "v1"),
  );
  if (matching !== undefined) return matching;
  const unnamed = images.filter((it) => it.platform === undefined);
  if (unnamed.length === 1 && unnamed[0] !== undefined) return unnamed[0];
  throw new LightvmError("unimplemented", `${what} has no image for linux/amd64`);
}

function mediaTypeOf(head: z.output<typeof header>, contentType: string, what: string): string {
  const written = head.mediaType;
  if (written !== undefined && known.has(contentType) && written !== contentType) {
    throw new LightvmError(
      "data-loss",
      `${what} is malformed: it came as ${contentType} and says it is ${JSON.stringify(written)}`,
    );
  }
  // Registries made of plain files name types of their own; the OCI allows to leave it out inside.
  const byShape = head.manifests === undefined ? MEDIA_TYPE.ociManifest : MEDIA_TYPE.ociIndex;
  const type = written ?? (known.has(contentType) ? contentType : byShape);
  if (isIndexType(type) || isManifestType(type)) return type;
  throw new LightvmError("unimplemented", `${what} is ${JSON.stringify(type)}, not an image`);
}

function parseJson(bytes: Uint8Array, what: string): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new LightvmError("data-loss", `${what} is not JSON`, { cause: error });
  }
}

function check<T>(schema: z.ZodType<T>, document: unknown, what: string): T {
  const result = schema.safeParse(document);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const why = issue === undefined ? "" : `: ${issue.path.join(".")}: ${issue.message}`;
  throw new LightvmError("data-loss", `${what} is malformed${why}`);
}
