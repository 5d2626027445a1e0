// SPDX-License-Identifier: Apache-2.0
import { createReadStream, createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { PassThrough, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { LightvmError } from "../../shared/errors.ts";
import { hashFor, verifyHash } from "../registry/digest.ts";
import { requireSpace, toLightvmError } from "./disk.ts";

/** Layers that can be unpacked: OCI's, its old "nondistributable" ones, and Docker's. */
const LAYER_TYPE =
  /^application\/vnd\.(?:oci\.image\.layer\.(?:nondistributable\.)?v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.diff\.tar(?:\.(?:gzip|zstd))?)$/;
/** A few kilobytes may unpack to a full disk: look at the disk once so many bytes. */
const SPACE_CHECK_BYTES = 16 * 1024 * 1024;

/** Throws "unimplemented" unless layers of this media type can be unpacked. */
export function checkLayerType(mediaType: string): void {
  if (LAYER_TYPE.test(mediaType)) return;
  throw new LightvmError(
    "unimplemented",
    `layers of type ${JSON.stringify(mediaType)} are not read here`,
  );
}

/**
 * Decompresses a verified blob into a plain tar and verifies that against its diff id. The format
 * is told by the first bytes, as some builders label it wrongly; the digest is what counts.
 */
export async function unpackLayer(
  blobPath: string,
  tarPath: string,
  diffId: string,
  signal?: AbortSignal,
): Promise<void> {
  const what = `unpacking layer ${diffId}`;
  const hash = hashFor(diffId);
  async function* watched(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let unchecked = SPACE_CHECK_BYTES;
    for await (const chunk of source) {
      unchecked += chunk.length;
      if (unchecked >= SPACE_CHECK_BYTES) {
        await requireSpace(dirname(tarPath), SPACE_CHECK_BYTES, `layer ${diffId}`);
        unchecked = 0;
      }
      hash.update(chunk);
      yield chunk;
    }
  }
  try {
    await pipeline(
      createReadStream(blobPath),
      await decoderFor(blobPath),
      watched,
      createWriteStream(tarPath, { flags: "wx", mode: 0o600 }),
      signal === undefined ? {} : { signal },
    );
    verifyHash(hash, diffId, `layer ${diffId}, unpacked,`);
  } catch (error) {
    throw toLightvmError(error, what);
  }
}

async function decoderFor(path: string): Promise<Transform> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(4), 0, 4, 0);
  const magic = bytesRead === 4 ? buffer.readUInt32LE() : 0;
  if ((magic & 0xffff) === 0x8b1f) return createGunzip();
  // A zstd frame, or one of the skippable frames that may stand before it.
  if (magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50) {
    return createZstdDecompress();
  }
  return new PassThrough();
}
