// SPDX-License-Identifier: Apache-2.0
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";

const repository = resolve(import.meta.dirname, "../..");

/** Installed file → its entry in the work tree. */
export const PROGRAMS: Readonly<Record<string, string>> = {
  lightvm: "src/cli/main.ts",
  lightvmd: "src/main.ts",
};

/** Some dependencies are CommonJS and call `require`, which an ES module has not. */
const REQUIRE = [
  'import { createRequire as createRequireForBundle } from "node:module";',
  "const require = createRequireForBundle(import.meta.url);",
].join("\n");

/** Writes one self-contained `<name>.mjs` for Node 24 a program into `directory`. */
export async function bundlePrograms(directory: string): Promise<void> {
  await build({
    absWorkingDir: repository,
    entryPoints: PROGRAMS,
    outdir: resolve(directory),
    outExtension: { ".js": ".mjs" },
    bundle: true,
    platform: "node",
    target: "node24",
    format: "esm",
    banner: { js: REQUIRE },
    legalComments: "none",
    logLevel: "warning",
  });
}

/** `bundle.ts <directory>` */
if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const directory = process.argv[2];
  if (directory === undefined) throw new Error("usage: bundle.ts DIRECTORY");
  await bundlePrograms(directory);
}
