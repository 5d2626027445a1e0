// SPDX-License-Identifier: Apache-2.0
// `cargo.ts lint`: rustfmt and clippy; `cargo.ts test`: unit tests, and containers of the real agent in
// namespaces of this machine. All in the Debian 13 build root, so that what they say does not depend on
// the host's toolchain. The result of a run that passed is remembered by its inputs.
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { buildRoot } from "./build-root.ts";
import { cached } from "./cache.ts";
import { debianPackage, runInDebian } from "./debian-folder.ts";
import { cargoBinds, nativeSources } from "./programs.ts";
import { CommandError } from "./run.ts";

/** The unikernels' libraries. The programs themselves have neither a test harness nor a std. */
const UNIKERNEL_LIBRARIES = "-p unikernel-platform -p unikernel-guest -p daytime-server";

const TASKS = {
  lint: [
    "cargo fmt --all --check",
    "cargo clippy --locked --workspace --all-targets -- -D warnings",
    "cd unikernels",
    "cargo fmt --all --check",
    "cargo clippy --locked --workspace -- -D warnings",
    `cargo clippy --locked ${UNIKERNEL_LIBRARIES} --all-targets -- -D warnings`,
  ].join("\n"),
  // Tests need a program's own binary beside them, so nothing here is static.
  test: [
    "cargo test --locked --workspace 2>&1",
    "mount -t cgroup2 none /mnt",
    // In a pid namespace: the agent is made to be the last process of its machine, and leaves children.
    "LIGHTVM_BUSYBOX=/busybox/busybox unshare --pid --fork --mount-proc " +
      "cargo test --locked --workspace --test containers -- --ignored 2>&1",
    "cd unikernels",
    `cargo test --locked ${UNIKERNEL_LIBRARIES} 2>&1`,
  ].join("\n"),
};

const task = process.argv[2] as keyof typeof TASKS | undefined;
if (task === undefined || !Object.hasOwn(TASKS, task)) throw new Error("usage: cargo.ts lint|test");
const script = `cd /src/native; export CARGO_TARGET_DIR=/target/check; ${TASKS[task]}`;

try {
  const root = await buildRoot();
  const inputs = [root, script, ...(await nativeSources({ unikernels: true }))];
  const passed = await cached(`cargo-${task}`, inputs, async (directory) => {
    const busybox = join(await debianPackage("trixie", "busybox-static"), "usr/bin");
    const binds = [...(await cargoBinds()), { host: busybox, inside: "/busybox", readOnly: true }];
    const output = await runInDebian(root, script, { binds });
    await writeFile(join(directory, "output"), output);
  });
  const output = await readFile(join(passed, "output"), "utf8");
  const summary = output
    .split("\n")
    .filter((line) => /^test result: .* [1-9]\d* passed/.test(line));
  if (summary.length > 0) console.log(summary.join("\n"));
} catch (error) {
  if (!(error instanceof CommandError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
