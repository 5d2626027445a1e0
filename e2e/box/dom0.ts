// SPDX-License-Identifier: Apache-2.0
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { cached } from "../../native/build/cache.ts";
import {
  type DebianRelease,
  debianFolder,
  debianPackage,
  runInDebian,
} from "../../native/build/debian-folder.ts";
import { run } from "../../native/build/run.ts";

/** Which Xen and dom0 a box runs. */
export interface Dom0Release {
  readonly debian: DebianRelease;
  /** Its own Xen, as in the package names: "4.20". */
  readonly xen: string;
  /** The release whose Xen is booted instead. */
  readonly foreignXen?: { readonly debian: "bullseye"; readonly xen: string };
}

export const DOM0_RELEASES = {
  "4.20": { debian: "trixie", xen: "4.20" },
  "4.17": { debian: "bookworm", xen: "4.17" },
  // Too old for pods: it is there to see what they are told. It cannot unpack Debian 13's kernel (zstd).
  "4.14": { debian: "bookworm", xen: "4.17", foreignXen: { debian: "bullseye", xen: "4.14" } },
} as const satisfies Record<string, Dom0Release>;

export type XenRelease = keyof typeof DOM0_RELEASES;

/** What a box boots, as files for QEMU. */
export interface Dom0Image {
  /** Xen as an ELF file that a multiboot loader takes. */
  readonly xen: string;
  readonly kernel: string;
  readonly initramfs: string;
  /** EROFS image of the root file system. */
  readonly root: string;
  /** Static busybox, of which test images are made. */
  readonly busybox: string;
}

/** What the init program loads before it can see the root disk, beside what they depend on. */
const BOOT_MODULES = [
  "virtio_pci",
  "virtio_blk",
  "virtio_net",
  "virtio_console",
  "erofs",
  "overlay",
];

const scripts = join(import.meta.dirname, "dom0");

function packages({ xen }: Dom0Release): string[] {
  const userland =
    "busybox-static ca-certificates docker-registry dropbear-bin e2fsprogs erofs-utils iproute2 kmod procps";
  // A pod network of CNI plugins.
  const network = "containernetworking-plugins iptables";
  const kernel = `linux-image-amd64 xenstore-utils xen-hypervisor-${xen}-amd64 xen-utils-${xen}`;
  return `${userland} ${network} ${kernel}`.split(" ");
}

/** Builds the dom0 of a release, with `more` Debian packages in it, or takes it from the cache. */
export async function dom0Image(
  release: Dom0Release,
  more: readonly string[] = [],
): Promise<Dom0Image> {
  const folder = await debianFolder(release.debian, [...packages(release), ...more]);
  const inputs = [folder];
  for (const name of (await readdir(scripts)).sort()) {
    inputs.push(name, await readFile(join(scripts, name), "utf8"));
  }
  inputs.push(await readFile(import.meta.filename, "utf8"));
  const hypervisor = await hypervisorOf(release, folder);
  inputs.push(hypervisor);
  const image = await cached(
    `dom0-${(release.foreignXen ?? release).xen}`,
    inputs,
    async (directory) => {
      await extractFiles(folder, hypervisor, directory);
      await packInitramfs(folder, directory);
      await packRoot(folder, directory);
    },
  );
  const file = (name: string) => join(image, name);
  return {
    xen: file("xen"),
    kernel: file("vmlinuz"),
    initramfs: file("initramfs"),
    root: file("root.erofs"),
    busybox: file("busybox"),
  };
}

/** Xen, as packed by Debian. */
async function hypervisorOf({ xen, foreignXen }: Dom0Release, folder: string): Promise<string> {
  if (foreignXen === undefined) return join(folder, `boot/xen-${xen}-amd64.gz`);
  const name = `xen-hypervisor-${foreignXen.xen}-amd64`;
  const files = await debianPackage(foreignXen.debian, name);
  return join(files, `boot/xen-${foreignXen.xen}-amd64.gz`);
}

async function extractFiles(folder: string, hypervisor: string, directory: string): Promise<void> {
  await writeFile(join(directory, "xen"), gunzipSync(await readFile(hypervisor)));
  const boot = join(folder, "boot");
  const kernel = (await readdir(boot)).find((name) => name.startsWith("vmlinuz-"));
  if (kernel === undefined) throw new Error(`${boot} has no kernel`);
  await copyFile(join(boot, kernel), join(directory, "vmlinuz"));
  await copyFile(join(folder, "usr/bin/busybox"), join(directory, "busybox"));
}

/** A ramdisk with busybox and the modules that reach the root disk: 2 MB instead of 30. */
async function packInitramfs(folder: string, directory: string): Promise<void> {
  const tree = join(directory, "initramfs.d");
  for (const name of ["bin", "proc", "sys", "dev", "modules"]) {
    await mkdir(join(tree, name), { recursive: true });
  }
  await copyFile(join(folder, "usr/bin/busybox"), join(tree, "bin/busybox"));
  await copyFile(join(scripts, "initramfs-init"), join(tree, "init"));
  const order: string[] = [];
  for (const module of await bootModules(folder)) {
    const name = (module.split("/").at(-1) ?? module).replace(/\.xz$/, "");
    order.push(name);
    const source = join(folder, module);
    const copy = module.endsWith(".xz") ? `xz -dc '${source}'` : `cat '${source}'`;
    await run(["sh", "-c", `${copy} > '${join(tree, "modules", name)}'`]);
  }
  await writeFile(join(tree, "modules/order"), `${order.join("\n")}\n`);
  const pack = `cd '${tree}' && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0`;
  await run(["sh", "-c", `${pack} | gzip -1 > '${join(directory, "initramfs")}'`]);
  await rm(tree, { recursive: true });
}

/** Module files in load order, relative to the folder; built-in ones have none. */
async function bootModules(folder: string): Promise<string[]> {
  const release = (await readdir(join(folder, "usr/lib/modules")))[0];
  const show = `modprobe -S ${release} --show-depends`;
  const each = BOOT_MODULES.map((module) => `${show} ${module}`).join("\n");
  const listing = await runInDebian(folder, each);
  const files = [...listing.matchAll(/^insmod (\S+)/gm)].flatMap(([, path]) =>
    path ? [path] : [],
  );
  return [...new Set(files)];
}

/** What a box never reads: a third of the root file system. */
const LEFT_OUT = ["boot", "usr/share/locale", "var/cache/apt", "var/lib/apt"];

async function packRoot(folder: string, directory: string): Promise<void> {
  const tree = join(directory, "root.d");
  await run(["cp", "-a", folder, tree]);
  for (const path of LEFT_OUT) await rm(join(tree, path), { recursive: true, force: true });
  const own = join(tree, "usr/libexec/box");
  await mkdir(own, { recursive: true });
  await copyFile(join(scripts, "init"), join(own, "init"));
  await mkdir(join(tree, "usr/lib/box"), { recursive: true });
  await runInDebian(tree, "dropbearkey -t ed25519 -f /usr/lib/box/dropbear_ed25519_host_key");
  await run(["mkfs.erofs", "-T0", join(directory, "root.erofs"), tree]);
  await rm(tree, { recursive: true });
}
