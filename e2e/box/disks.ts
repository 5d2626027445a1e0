// SPDX-License-Identifier: Apache-2.0
import { chmod, copyFile, cp, mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../native/build/run.ts";

/** Files of the project's disk, each a path on the host; missing parts are simply not there. */
export interface ProjectFiles {
  /** Becomes /usr/lib/lightvm. */
  readonly library: string;
  /** Public key that may log in. */
  readonly authorizedKey: string;
}

const settings = join(import.meta.dirname, "settings");

/** Packs the project into an EROFS image: what changes between two runs, kept small. */
export async function packProject(files: ProjectFiles, image: string): Promise<void> {
  const tree = `${image}.d`;
  await rm(tree, { recursive: true, force: true });
  await mkdir(join(tree, "bin"), { recursive: true });
  await cp(files.library, join(tree, "lightvm"), { recursive: true });
  await cp(settings, join(tree, "box"), { recursive: true });
  for (const program of await readdir(join(settings, "bin"))) {
    await copyFile(join(settings, "bin", program), join(tree, "bin", program));
    await chmod(join(tree, "bin", program), 0o755);
  }
  await writeFile(join(tree, "box/authorized_keys"), files.authorizedKey);
  await rm(image, { force: true });
  await run(["mkfs.erofs", "-T0", "--all-root", image, tree]);
  await rm(tree, { recursive: true });
}

/** Makes an empty, sparse ext4 file system of `sizeMib` mebibytes. */
export async function makeDataDisk(image: string, sizeMib: number): Promise<void> {
  await rm(image, { force: true });
  await run(["truncate", "-s", `${sizeMib}M`, image]);
  const quick = "lazy_itable_init=1,lazy_journal_init=1";
  // Nothing is kept back for root, whom all of it is for.
  await run(["mkfs.ext4", "-q", "-F", "-m", "0", "-E", quick, image]);
}
