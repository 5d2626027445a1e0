// SPDX-License-Identifier: Apache-2.0
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Run } from "./document.ts";
import { RUNTIMES, type RuntimeName } from "./runtimes.ts";

const DIRECTORY = join(import.meta.dirname, "results");

/** Keeps a whole run in place of the last one of its kind: one file a runtime and number of specs side by side. */
export async function storeRun(run: Run): Promise<void> {
  await mkdir(DIRECTORY, { recursive: true });
  const kind = run.parallel === 1 ? run.name : `${run.name}-parallel-${run.parallel}`;
  await writeFile(join(DIRECTORY, `${kind}.json`), `${JSON.stringify(run, null, 2)}\n`);
}

/** All that are kept, so that one can be made anew without the others: by runtime, serial ones first. */
export async function storedRuns(): Promise<Run[]> {
  const files = (await readdir(DIRECTORY)).filter((name) => name.endsWith(".json"));
  const runs = await Promise.all(
    files.map(async (name) => JSON.parse(await readFile(join(DIRECTORY, name), "utf8")) as Run),
  );
  const order = Object.keys(RUNTIMES) as RuntimeName[];
  return runs.sort(
    (a, b) => order.indexOf(a.name) - order.indexOf(b.name) || a.parallel - b.parallel,
  );
}
