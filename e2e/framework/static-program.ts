// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { buildRoot } from "../../native/build/build-root.ts";
import { cached } from "../../native/build/cache.ts";
import { runInDebian } from "../../native/build/debian-folder.ts";

/** Compiles one file of C, by its path; static, so that the program needs nothing else. */
export async function staticProgram(path: string): Promise<Uint8Array> {
  const root = await buildRoot();
  const name = basename(path, ".c");
  const build = `gcc -static -O2 -s -Wall -Werror -o /out/${name} /src/${name}.c`;
  const directory = await cached(
    `program-${name}`,
    [root, build, await readFile(path)],
    async (scratch) => {
      const binds = [
        { host: dirname(path), inside: "/src", readOnly: true },
        { host: scratch, inside: "/out" },
      ];
      await runInDebian(root, build, { binds });
    },
  );
  return await readFile(join(directory, name));
}
