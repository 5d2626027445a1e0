// SPDX-License-Identifier: Apache-2.0
import { createHash, randomUUID } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join, relative } from "node:path";

/** Where everything that we build lives: outside the work tree, safe to delete at any time. */
export const cacheDirectory: string =
  process.env["LIGHTVM_CACHE"] ?? join(homedir(), ".cache", "lightvm");

/** Says what is being built and how long it took; the first run of a clone takes minutes. */
export function say(message: string): void {
  console.error(`[build] ${message}`);
}

/**
 * A hash over everything that decides what a build gives. A path into the cache names what it holds
 * by a hash of its own, wherever the cache lies.
 */
export function cacheKey(inputs: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const given of inputs) {
    const isCached = typeof given === "string" && given.startsWith(`${cacheDirectory}/`);
    const input = isCached ? relative(cacheDirectory, given) : given;
    hash.update(`${input.length}:`).update(input);
  }
  return hash.digest("hex").slice(0, 24);
}

/**
 * The directory `<cache>/<name>/<key of inputs>`, built when it is not there yet.
 *
 * `build` fills a scratch directory, which is published by one rename: what is in the cache is
 * whole. When two runs build the same at once, the second to finish keeps the first one's result.
 */
export async function cached(
  name: string,
  inputs: readonly (string | Uint8Array)[],
  build: (directory: string) => Promise<void>,
): Promise<string> {
  const published = join(cacheDirectory, name, cacheKey(inputs));
  if (existsSync(published)) return published;
  const scratch = `${published}.${randomUUID()}.part`;
  const started = performance.now();
  say(`${name}: building`);
  await mkdir(scratch, { recursive: true });
  try {
    await build(scratch);
    await rename(scratch, published);
  } catch (error) {
    await rm(scratch, { recursive: true, force: true });
    if (!existsSync(published)) throw error;
  }
  say(`${name}: done in ${((performance.now() - started) / 1000).toFixed(0)} s`);
  return published;
}
