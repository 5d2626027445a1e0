// SPDX-License-Identifier: Apache-2.0
import { createHash, type Hash } from "node:crypto";
import { LightvmError } from "../../shared/errors.ts";
import { isDigest } from "../reference.ts";

/** A running hash of the kind that `digest` names; ends in `verifyHash`. */
export function hashFor(digest: string): Hash {
  if (!isDigest(digest)) {
    throw new LightvmError("data-loss", `${JSON.stringify(digest)} is not a digest known here`);
  }
  return createHash(algorithm(digest));
}

/** Throws "data-loss" unless `hash` (of `hashFor(digest)`) ends as the digest says. */
export function verifyHash(hash: Hash, digest: string, what: string): void {
  const actual = `${algorithm(digest)}:${hash.digest("hex")}`;
  if (actual === digest) return;
  throw new LightvmError(
    "data-loss",
    `${what} does not match its digest: ${digest} is wanted, ${actual} came`,
  );
}

/** Throws "data-loss" unless the bytes have the digest. */
export function verifyBytes(bytes: Uint8Array, digest: string, what: string): void {
  verifyHash(hashFor(digest).update(bytes), digest, what);
}

/** "sha256:…" of the bytes. */
export function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

function algorithm(digest: string): "sha256" | "sha512" {
  return digest.startsWith("sha512:") ? "sha512" : "sha256";
}
