// SPDX-License-Identifier: Apache-2.0
// `npm run fuzz -- [--seconds N] [TARGET…]`: gives libFuzzer so long with each parser of what guests and
// images say. What it learns is kept in the cache and is where the next run starts.
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { cacheDirectory } from "./cache.ts";
import { debianFolder, runInDebian } from "./debian-folder.ts";
import { cargoBinds } from "./programs.ts";
import { CommandError } from "./run.ts";

const TARGETS = resolve(import.meta.dirname, "../fuzz/fuzz_targets");
const ARCHITECTURE = "x86_64-unknown-linux-gnu";
/** Bytes of the disk that the target "block" serves. */
const IMAGE_BYTES = 65_536;

/**
 * The file system that the target "files" serves, made anew for each run: no guest's file outgrows it, or
 * is a device, and every reading of a file is noted.
 */
const SHARE = "size=64m,nr_inodes=10000,nodev,nosuid,noexec,strictatime";

/** libFuzzer is C++, which nothing else here needs. */
const PACKAGES = [
  "g++",
  "libc6-dev",
  "cargo",
  "rustc",
  "rust-clippy",
  "rustfmt",
  "ca-certificates",
];

/** What `cargo fuzz` has the compiler do: count edges, and show the fuzzer what is compared. */
const COVERAGE = [
  "-Cpasses=sancov-module",
  "-Cllvm-args=-sanitizer-coverage-level=4",
  "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
  "-Cllvm-args=-sanitizer-coverage-pc-table",
  "-Cllvm-args=-sanitizer-coverage-trace-compares",
  "--cfg fuzzing",
].join(" ");

/** Tools of the build (scripts, macros) are not instrumented: they are not for that target. */
const BUILD = `
cd /src/native/fuzz
export CARGO_TARGET_DIR=/target/fuzz
cargo fmt --all --check
cargo clippy --locked --all-targets -- -D warnings
RUSTFLAGS="${COVERAGE}" cargo build --locked --release --target ${ARCHITECTURE}
`;

function runOf(target: string, seconds: number): string {
  const program = `/target/fuzz/${ARCHITECTURE}/release/${target}`;
  const limits = `-max_total_time=${seconds} -timeout=10 -rss_limit_mb=2048 -max_len=65536`;
  return `
mkdir -p /share && mount -t tmpfs -o ${SHARE} share /share
mkdir -p /fuzz/corpus/${target} /fuzz/found
${program} ${limits} -artifact_prefix=/fuzz/found/${target}- -print_final_stats=1 -verbosity=0 /fuzz/corpus/${target} 2>&1`;
}

/** How many inputs a run has tried, from libFuzzer's statistics. */
function executed(output: string): string {
  return /number_of_executed_units:\s+(\d+)/.exec(output)?.[1] ?? "?";
}

async function fuzz(wanted: readonly string[], { seconds }: { seconds: number }): Promise<void> {
  const all = (await readdir(TARGETS)).map((name) => name.replace(/\.rs$/, "")).sort();
  const unknown = wanted.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new Error(`no target "${unknown}"; there are ${all.join(", ")}`);
  const root = await debianFolder("trixie", PACKAGES);
  const directory = join(cacheDirectory, "fuzz");
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "image"), Buffer.alloc(IMAGE_BYTES, "image"));
  const binds = [...(await cargoBinds()), { host: directory, inside: "/fuzz" }];
  await runInDebian(root, BUILD, { binds });
  for (const target of wanted.length > 0 ? wanted : all) {
    const output = await runInDebian(root, runOf(target, seconds), { binds });
    console.log(`fuzz ${target}: ${executed(output)} inputs in ${seconds} s, all survived`);
  }
}

function natural(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError("a whole number");
  return number;
}

const program = new Command("fuzz")
  .argument("[targets...]", "some of native/fuzz/fuzz_targets; all of them unless told")
  .option("--seconds <n>", "for each", natural, 60)
  .action(fuzz);

try {
  await program.parseAsync();
} catch (error) {
  if (!(error instanceof CommandError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}
