// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { runInDebian } from "../../../native/build/debian-folder.ts";
import type { LayerEntry } from "../../framework/oci-image.ts";

/** A directory of a layer. */
export function directory(path: string, mode = 0o755): LayerEntry {
  return { name: `${path}/`, type: "directory", mode };
}

/** A file of a layer. */
export function file(path: string, content: string | Uint8Array, mode = 0o644): LayerEntry {
  return { name: path, mode, content };
}

/** One more name of a program. containerd gives what both name the mode that stands here. */
export function hardLink(path: string, target: string): LayerEntry {
  return { name: path, type: "link", linkname: target, mode: 0o755 };
}

/** What every image starts with: Debian's merged /usr, and whom /etc knows. */
export const SKELETON: readonly LayerEntry[] = [
  ...["usr", "usr/bin", "usr/sbin", "usr/lib", "usr/lib64", "usr/lib/x86_64-linux-gnu"].map(
    (path) => directory(path),
  ),
  ...["bin", "sbin", "lib", "lib64"].map(
    (name): LayerEntry => ({ name, type: "symlink", linkname: `usr/${name}` }),
  ),
  ...["dev", "etc", "home", "proc", "run", "sys", "var", "var/log"].map((path) => directory(path)),
  directory("root", 0o700),
  directory("tmp", 0o1777),
  { name: "var/run", type: "symlink", linkname: "../run" },
  file(
    "etc/passwd",
    [
      "root:x:0:0:root:/root:/bin/sh",
      "www-data:x:33:33:www-data:/var/www:/bin/false",
      "nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
    ].join("\n"),
  ),
  file("etc/group", "root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\n"),
];

/** Programs and other files of a Debian folder with the libraries that they need, each once. */
export async function filesOf(folder: string, paths: readonly string[]): Promise<LayerEntry[]> {
  const listing = await runInDebian(folder, `ldd ${paths.join(" ")}`);
  const libraries = [...listing.matchAll(/(\/\S+) \(0x/g)].map(([, path = ""]) => path);
  // ldd says /lib and /lib64, which are links to below /usr.
  const all = new Set([...paths, ...libraries].map((path) => path.replace(/^\/lib/, "/usr/lib")));
  return await Promise.all(
    [...all].map(async (path) => file(path.slice(1), await readFile(join(folder, path)), 0o755)),
  );
}
