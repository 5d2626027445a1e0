// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cacheDirectory } from "../../native/build/cache.ts";
import type { Measurements } from "./measure.ts";

/** What the last run has seen so far, so that it can be reported again without being measured again. */
const FILE = join(cacheDirectory, "bench/seen.json");

/** Called after each part. */
export async function saveSeen(seen: Partial<Measurements>): Promise<void> {
  await mkdir(dirname(FILE), { recursive: true });
  await writeFile(FILE, JSON.stringify(seen));
}

export async function readSeen(): Promise<Partial<Measurements>> {
  return JSON.parse(await readFile(FILE, "utf8")) as Partial<Measurements>;
}
