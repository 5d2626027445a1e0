// SPDX-License-Identifier: Apache-2.0
import { copyFile, mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { bundlePrograms } from "./bundle.ts";
import { cacheDirectory } from "./cache.ts";
import { buildInitramfs } from "./initramfs.ts";
import { guestKernel, type LinuxSeries } from "./kernel.ts";
import { nativePrograms } from "./programs.ts";
import { UNIKERNELS, unikernels } from "./unikernels.ts";

/**
 * Everything that a node has in /usr/lib/lightvm, as a directory: programs, guest kernels, initramfs,
 * unikernels.
 * Its native parts come from the cache; the TypeScript is bundled anew, which takes a second.
 */
export async function nodeLibrary(linux: LinuxSeries = "6.12"): Promise<string> {
  const programs = await nativePrograms();
  const library = join(cacheDirectory, `library-${linux}`);
  const scratch = `${library}.${process.pid}.part`;
  await rm(scratch, { recursive: true, force: true });
  for (const folder of ["bin", "guest"]) await mkdir(join(scratch, folder), { recursive: true });
  for (const name of ["lightvm-vmm", "lightvm-files"]) {
    await copyFile(join(programs, name), join(scratch, "bin", name));
  }
  await copyFile(join(programs, "addon.node"), join(scratch, "addon.node"));
  await copyFile(await guestKernel("up", linux), join(scratch, "guest/vmlinux-up"));
  await copyFile(await guestKernel("smp", linux), join(scratch, "guest/vmlinux-smp"));
  const built = await unikernels();
  for (const name of UNIKERNELS) await copyFile(join(built, name), join(scratch, "guest", name));
  const agent = await readFile(join(programs, "lightvm-agent"));
  await buildInitramfs(agent, join(scratch, "guest/initramfs.cpio"));
  await bundlePrograms(scratch);
  await rm(library, { recursive: true, force: true });
  await rename(scratch, library);
  return library;
}

/** `node-library.ts`: builds it and prints where it is. */
if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  console.log(await nodeLibrary());
}
