// SPDX-License-Identifier: Apache-2.0
import { chmod, copyFile, mkdir, readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { buildRoot } from "./build-root.ts";
import { cacheDirectory, cached } from "./cache.ts";
import { type Bind, runInDebian } from "./debian-folder.ts";

const repository = resolve(import.meta.dirname, "../..");
const TARGET = "x86_64-unknown-linux-gnu";

/** Our native programs, each a file with this name in the result's directory. */
export const NATIVE_PROGRAMS = [
  "lightvm-vmm",
  "lightvm-files",
  "lightvm-agent",
  "addon.node",
] as const;

/** Where the build root sees the work tree and what cargo keeps between two builds. */
export async function cargoBinds(): Promise<Bind[]> {
  const scratch = join(cacheDirectory, "cargo");
  for (const name of ["target", "home"]) await mkdir(join(scratch, name), { recursive: true });
  return [
    { host: repository, inside: "/src", readOnly: true },
    { host: join(scratch, "target"), inside: "/target" },
    { host: join(scratch, "home"), inside: "/root/.cargo" },
  ];
}

/**
 * Everything that decides what cargo makes of the workspace: sources, manifests, schemas; with those of
 * the unikernels if they are asked for, which are a workspace of their own.
 */
export async function nativeSources(
  options: { readonly unikernels?: boolean } = {},
): Promise<(string | Uint8Array)[]> {
  const others = options.unikernels
    ? /^(driver|build|fuzz)\//
    : /^(driver|build|fuzz|unikernels)\//;
  const inputs: (string | Uint8Array)[] = [];
  for (const folder of ["native", "cri-proto/lightvm"]) {
    const names = await readdir(join(repository, folder), { recursive: true });
    for (const name of names.sort()) {
      if (!/\.(rs|toml|lock|proto|h|ld)$/.test(name) || others.test(name)) continue;
      inputs.push(`${folder}/${name}`, await readFile(join(repository, folder, name)));
    }
  }
  return inputs;
}

/**
 * VMM, file server and agent are static: they run in a jail, or as the only file of a guest. The addon
 * is a library that Node loads, so it cannot be. Every page of the three is paid for by each pod, hence
 * packed relocations (64 KiB become 1) and no unwind tables (120 KiB).
 */
const BUILD = `
cd /src/native
export CARGO_TARGET_DIR=/target
export RUSTFLAGS="--remap-path-prefix=/src=. --remap-path-prefix=/root/.cargo=cargo"
cargo build --locked --release --target ${TARGET} -p lightvm-addon
export RUSTFLAGS="$RUSTFLAGS -C target-feature=+crt-static"
export RUSTFLAGS="$RUSTFLAGS -C link-arg=-Wl,-z,pack-relative-relocs"
export RUSTFLAGS="$RUSTFLAGS -C link-arg=-Wl,-T,/src/native/no-unwind-tables.ld"
export CARGO_TARGET_DIR=/target/static
cargo build --locked --release --target ${TARGET} -p lightvm-vmm -p lightvm-files -p lightvm-agent
`;

/** Builds VMM, file server, agent and addon in the build root; returns the directory that holds them. */
export async function nativePrograms(): Promise<string> {
  const root = await buildRoot();
  const inputs = [root, BUILD, ...(await nativeSources())];
  return await cached("native", inputs, async (directory) => {
    await runInDebian(root, BUILD, { binds: await cargoBinds() });
    const target = join(cacheDirectory, "cargo/target");
    const built = {
      "lightvm-vmm": join(target, "static", TARGET, "release/lightvm-vmm"),
      "lightvm-files": join(target, "static", TARGET, "release/lightvm-files"),
      "lightvm-agent": join(target, "static", TARGET, "release/lightvm-agent"),
      "addon.node": join(target, TARGET, "release/liblightvm_addon.so"),
    } satisfies Record<(typeof NATIVE_PROGRAMS)[number], string>;
    for (const [name, file] of Object.entries(built)) {
      await copyFile(file, join(directory, name));
      await chmod(join(directory, name), 0o755);
    }
  });
}
