// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { cacheDirectory } from "../../native/build/cache.ts";
import type { ContainerdSample } from "./containerd.ts";
import type { CrowdSample } from "./crowd.ts";
import type { OurPods } from "./ours.ts";
import type { ToolstackReport } from "./probe/toolstack/main.ts";
import type { XlMeasurements } from "./xl.ts";

/** Everything that one run has seen, ours and the peers'. Times in virtual milliseconds. */
export interface Measurements {
  readonly toolstack: ToolstackReport;
  readonly pods: OurPods;
  readonly crowd: CrowdSample;
  readonly xl: XlMeasurements;
  readonly containerd: ContainerdSample;
  readonly forkExec: readonly number[];
}

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
