// SPDX-License-Identifier: Apache-2.0
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { buildRoot } from "./build-root.ts";
import { cached } from "./cache.ts";
import { type Bind, debianFolder, runInDebian } from "./debian-folder.ts";

const repository = resolve(import.meta.dirname, "../..");
const driver = join(repository, "native/driver");
const abi = join(repository, "native/abi/include");

/** One vCPU, or several. */
export type KernelVariant = "up" | "smp";

/** Linux series that our driver builds in: Debian 13's, which pods run, and Debian 12's. */
export const LINUX_SERIES = ["6.12", "6.1"] as const;
export type LinuxSeries = (typeof LINUX_SERIES)[number];

/** What Debian 12 needs to compile its own kernel with; Debian 13's build root has all of it. */
const BOOKWORM_PACKAGES = [
  ...["gcc", "libc6-dev", "make", "flex", "bison", "bc", "libelf-dev", "libssl-dev"],
  ...["cpio", "xz-utils", "linux-source-6.1"],
];

/** Our driver in the kernel's tree. */
const DRIVER_OBJECTS = ["noxs_bus.o", "virtio_noxs.o", "noxs_sysctl.o", "noxs_memory.o"];

/**
 * Unpacks the source and puts our driver into it, which takes one line in two of its files. The
 * configuration is what the fragments say over "no" to everything, so they are the whole truth.
 *
 * The linker script puts 2 MiB borders around text, entry code and read-only data, so that each can
 * have large pages with rights of its own: 4 of 9 MB of a small kernel are filling, which is copied
 * at each start and stays in each pod's memory. With 4 KiB borders the few pages at a border are
 * mapped as small ones instead.
 *
 * Nor is there /sys/kernel/slab, whose files, some thousands, are a fifth of the boot. 6.1 cannot be
 * told so.
 */
const CONFIGURE = `
mkdir /build/source
tar -xf "/usr/src/linux-source-$SERIES.tar.xz" -C /build/source --strip-components=1
cd /build/source/drivers/virtio
cp /driver/*.[ch] /driver/Kconfig.noxs /abi/noxs.h .
echo 'source "drivers/virtio/Kconfig.noxs"' >> Kconfig
echo 'obj-$(CONFIG_VIRTIO_NOXS) += ${DRIVER_OBJECTS.join(" ")}' >> Makefile
cd /build/source
if [ "$SERIES" = 6.12 ]; then
  sed -i 's/^#if defined(CONFIG_SYSFS) && !defined(CONFIG_SLUB_TINY)$/#if 0/' mm/slab.h
  grep -qx '#if 0' mm/slab.h
fi
sed -i -E 's/ALIGN\\((PMD|HPAGE)_SIZE\\)/ALIGN(PAGE_SIZE)/' arch/x86/kernel/vmlinux.lds.S
KCONFIG_ALLCONFIG=/build/fragments make -s allnoconfig
`;

/** W=1 for our own files first: they have to compile without a warning. */
const COMPILE = `
export KBUILD_BUILD_USER=lightvm KBUILD_BUILD_HOST=lightvm KBUILD_BUILD_TIMESTAMP=2026-01-01
cd /build/source
nice make -s -j "$(nproc)" W=1 KCFLAGS=-Werror ${DRIVER_OBJECTS.map((object) => `drivers/virtio/${object}`).join(" ")}
nice make -s -j "$(nproc)" vmlinux
strip -o /build/vmlinux vmlinux
`;

/** The settings of a configuration text; `n` where it says "is not set". */
function settings(text: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of text.split("\n")) {
    const [, name, value] = /^(CONFIG_\w+)=(.*)$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) found.set(name, value);
  }
  return found;
}

/**
 * The lines of `fragments` that the kernel's own configuration did not take over: misspelt, unknown
 * to this series, or with a dependency that is off.
 */
export function refusedLines(fragments: string, config: string): string[] {
  const accepted = settings(config);
  return [...settings(fragments)]
    .filter(([name, value]) => (accepted.get(name) ?? "n") !== value)
    .map(([name, value]) => `${name}=${value} (is ${accepted.get(name) ?? "not set"})`);
}

/** The folder to build in, and the version of the source package in it. */
async function sourceOf(series: LinuxSeries): Promise<{ root: string; version: string }> {
  const root =
    series === "6.12" ? await buildRoot() : await debianFolder("bookworm", BOOKWORM_PACKAGES);
  const query = `dpkg-query --show --showformat='\${Version}' linux-source-${series}`;
  return { root, version: await runInDebian(root, query) };
}

/** The text of every file that our side adds, in a fixed order. */
async function ownFiles(): Promise<string[]> {
  const names = (await readdir(driver)).filter((name) => /\.(c|h|noxs)$/.test(name)).sort();
  const paths = [...names.map((name) => join(driver, name)), join(abi, "noxs.h")];
  return await Promise.all(paths.map((path) => readFile(path, "utf8")));
}

/**
 * The guest kernel as a stripped, uncompressed ELF file with Xen's PVH note.
 *
 * Minutes of compiling the first time, nothing when neither the configuration, the driver nor
 * Debian's source package has changed. Throws when a line of the configuration is not accepted.
 */
export async function guestKernel(
  variant: KernelVariant,
  series: LinuxSeries = "6.12",
): Promise<string> {
  const { root, version } = await sourceOf(series);
  const names = ["common", variant, ...(series === "6.1" ? ["linux-6.1"] : [])];
  const parts = names.map((name) => join(driver, "config", `${name}.config`));
  const fragments = (await Promise.all(parts.map((part) => readFile(part, "utf8")))).join("\n");
  const inputs = [root, version, CONFIGURE, COMPILE, fragments, ...(await ownFiles())];
  const directory = await cached(`kernel-${series}-${variant}`, inputs, async (scratch) => {
    const build = join(scratch, "build");
    await mkdir(build);
    await writeFile(join(build, "fragments"), fragments);
    const binds: Bind[] = [
      { host: build, inside: "/build" },
      { host: driver, inside: "/driver", readOnly: true },
      { host: abi, inside: "/abi", readOnly: true },
    ];
    const options = { binds, env: { SERIES: series } };
    await runInDebian(root, CONFIGURE, options);
    const config = await readFile(join(build, "source/.config"), "utf8");
    const refused = refusedLines(fragments, config);
    if (refused.length > 0) {
      throw new Error(`Linux ${version} refuses configuration lines:\n${refused.join("\n")}`);
    }
    await runInDebian(root, COMPILE, options);
    await copyFile(join(build, "vmlinux"), join(scratch, "vmlinux"));
    await copyFile(join(build, "source/System.map"), join(scratch, "System.map"));
    await writeFile(join(scratch, "config"), config);
    await rm(build, { recursive: true });
  });
  return join(directory, "vmlinux");
}

/** `kernel.ts up|smp [6.12|6.1]`: builds it and prints where it is. */
if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const [variant, series = "6.12"] = process.argv.slice(2);
  if ((variant !== "up" && variant !== "smp") || (series !== "6.12" && series !== "6.1")) {
    throw new Error("usage: kernel.ts up|smp [6.12|6.1]");
  }
  console.log(await guestKernel(variant, series));
}
