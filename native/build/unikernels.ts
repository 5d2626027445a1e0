// SPDX-License-Identifier: Apache-2.0
import { copyFile, readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { buildRoot } from "./build-root.ts";
import { cacheDirectory, cached } from "./cache.ts";
import { runInDebian } from "./debian-folder.ts";
import { cargoBinds } from "./programs.ts";

const repository = resolve(import.meta.dirname, "../..");
/** Debian's Rust has no library for bare metal; the host's, without its std, does as well. */
const TARGET = "x86_64-unknown-linux-gnu";

/** Our unikernels, each a file with this name in the result's directory. */
export const UNIKERNELS = ["noop", "daytime"] as const;
/** One that tests have beside them, and no node. */
export const HOSTILE = "hostile";
const ALL = [...UNIKERNELS, HOSTILE];

/**
 * Nothing of an operating system is linked, addresses are those of the linker script, and an exception
 * may come at any time, so nothing lies below the stack pointer.
 */
const FLAGS = [
  "--remap-path-prefix=/src=.",
  "--remap-path-prefix=/root/.cargo=cargo",
  "-Crelocation-model=static",
  "-Cno-redzone=yes",
  ...["-nostdlib", "-static", "-no-pie", "-Wl,-n", "-Wl,--build-id=none", "-Wl,-z,norelro"].map(
    (argument) => `-Clink-arg=${argument}`,
  ),
  "-Clink-arg=-Wl,-T/src/native/unikernels/unikernel.ld",
];

const BUILD = `
cd /src/native/unikernels
export CARGO_TARGET_DIR=/target/unikernels RUSTFLAGS="${FLAGS.join(" ")}"
cargo build --locked --release --target ${TARGET} ${ALL.map((name) => `-p ${name}`).join(" ")}
`;

/** Everything that decides what cargo makes of them. */
async function sources(): Promise<(string | Uint8Array)[]> {
  const inputs: (string | Uint8Array)[] = [];
  for (const folder of ["native/abi", "native/unikernels"]) {
    const names = await readdir(join(repository, folder), { recursive: true });
    for (const name of names.sort()) {
      if (!/\.(rs|toml|lock|ld)$/.test(name)) continue;
      inputs.push(`${folder}/${name}`, await readFile(join(repository, folder, name)));
    }
  }
  return inputs;
}

/** Builds the unikernels in the build root; returns the directory that holds them. */
export async function unikernels(): Promise<string> {
  const root = await buildRoot();
  return await cached("unikernels", [root, BUILD, ...(await sources())], async (directory) => {
    await runInDebian(root, BUILD, { binds: await cargoBinds() });
    for (const name of ALL) {
      const built = join(cacheDirectory, "cargo/target/unikernels", TARGET, "release", name);
      await copyFile(built, join(directory, name));
    }
  });
}

/** `unikernels.ts`: builds them and prints where they are. */
if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  console.log(await unikernels());
}
