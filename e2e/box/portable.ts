// SPDX-License-Identifier: Apache-2.0
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Bind, runInDebian } from "../../native/build/debian-folder.ts";

/** The dynamic loader of amd64 (System V ABI, AMD64 supplement, "Program Interpreter"). */
const LOADER = "/lib64/ld-linux-x86-64.so.2";

/**
 * Copies a program of a Debian folder into `directory` with its loader and its libraries, so that it
 * runs on whatever release by `portableCommand`. `program` is its path inside the folder, where it may
 * be in one of `binds`.
 */
export async function makePortable(
  root: string,
  program: string,
  directory: string,
  binds: readonly Bind[] = [],
): Promise<void> {
  const listing = await runInDebian(root, `ldd ${program}`, { binds });
  const libraries = [...listing.matchAll(/=> (\/\S+)/g)].flatMap(([, path]) => path ?? []);
  await mkdir(directory, { recursive: true });
  const script = `cp -L ${[program, LOADER, ...libraries].join(" ")} /out/`;
  await runInDebian(root, script, { binds: [...binds, { host: directory, inside: "/out" }] });
}

/** The words that run such a program where its files are in `directory`. */
export function portableCommand(directory: string, name: string): string[] {
  const loader = join(directory, basename(LOADER));
  return [loader, "--library-path", directory, join(directory, name)];
}
