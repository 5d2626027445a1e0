// SPDX-License-Identifier: Apache-2.0
// Fails when cri-proto/generated is not what the schemas give: `npm run check` runs it.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const GENERATED = "cri-proto/generated";

/** Every file below `root` with its text, by path relative to `root`. */
function filesBelow(root: string): Map<string, string> {
  const entries = readdirSync(root, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return new Map(
    files.map((file) => {
      const path = join(file.parentPath, file.name);
      return [path.slice(root.length + 1), readFileSync(path, "utf8")];
    }),
  );
}

/** Paths that are missing, stale or left over in the committed tree. */
function differences(fresh: Map<string, string>, committed: Map<string, string>): string[] {
  const paths = new Set([...fresh.keys(), ...committed.keys()]);
  return [...paths].filter((path) => fresh.get(path) !== committed.get(path)).sort();
}

const scratch = mkdtempSync(join(tmpdir(), "lightvm-generated-"));
try {
  execFileSync("node_modules/.bin/buf", ["generate", "--output", scratch], { stdio: "inherit" });
  const different = differences(filesBelow(join(scratch, GENERATED)), filesBelow(GENERATED));
  if (different.length > 0) {
    console.error(`stale generated files; run \`npm run generate\`:\n  ${different.join("\n  ")}`);
    process.exitCode = 1;
  }
} finally {
  rmSync(scratch, { recursive: true });
}
