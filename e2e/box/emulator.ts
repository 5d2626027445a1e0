// SPDX-License-Identifier: Apache-2.0
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../../native/build/cache.ts";
import { debianFolder, runInDebian } from "../../native/build/debian-folder.ts";
import { makePortable, portableCommand } from "./portable.ts";

const PROGRAM = "qemu-system-x86_64";
/** Each corrects one fault of the emulation, and says which. */
const PATCHES = ["injected-interrupt.patch", "lost-flags.patch", "lost-interrupt.patch"];

/** What QEMU is built with and from; and the firmware that it loads, which Debian builds apart. */
const PACKAGES = [
  ...["dpkg-dev", "gcc", "libc6-dev", "make", "ninja-build", "meson", "pkg-config", "python3"],
  ...["libglib2.0-dev", "libpixman-1-dev", "libslirp-dev", "libfdt-dev", "zlib1g-dev"],
  ...["ca-certificates", "qemu-system-data", "seabios"],
];

/** A PC, emulated or on KVM, with a network behind the host's sockets; no display, no sound. */
const CONFIGURE = [
  ...["--target-list=x86_64-softmmu", "--without-default-features", "--enable-system"],
  ...["--enable-tcg", "--enable-kvm", "--enable-slirp", "--disable-install-blobs"],
].join(" ");

const BUILD = `
sed 's/^deb /deb-src /' /etc/apt/sources.list >/etc/apt/sources.list.d/source.list
apt-get update -qq
cd /build
apt-get source -qq --download-only qemu
dpkg-source --no-check -x qemu_*.dsc source
cat ${PATCHES.map((patch) => `/emulator/${patch}`).join(" ")} | patch -d source -p1
mkdir make && cd make
../source/configure ${CONFIGURE}
nice ninja -j "$(nproc)" ${PROGRAM}
strip -o /build/${PROGRAM} ${PROGRAM}
mkdir /out/firmware
cp -L /usr/share/qemu/*_dma.bin /usr/share/qemu/kvmvapic.bin /usr/share/seabios/bios-256k.bin /out/firmware
`;

/**
 * The words that start QEMU: Debian 12's, whatever release the host has, with some faults of its
 * emulation corrected. Its later releases emulate Xen too, but cannot count instructions (Xen finds no
 * timer), and have the first of the faults.
 */
export async function emulator(): Promise<string[]> {
  const ours = join(import.meta.dirname, "emulator");
  const root = await debianFolder("bookworm", PACKAGES);
  const patches = await Promise.all(PATCHES.map((patch) => readFile(join(ours, patch))));
  const directory = await cached("qemu", [root, BUILD, ...patches], async (scratch) => {
    const build = join(scratch, "build");
    await mkdir(build);
    const binds = [
      { host: build, inside: "/build" },
      { host: scratch, inside: "/out" },
      { host: ours, inside: "/emulator", readOnly: true },
    ];
    await runInDebian(root, BUILD, { binds });
    await makePortable(root, `/build/${PROGRAM}`, scratch, binds);
    await rm(build, { recursive: true });
  });
  return [...portableCommand(directory, PROGRAM), "-L", join(directory, "firmware")];
}
