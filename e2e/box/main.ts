// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { Command, InvalidArgumentError } from "commander";
import { LINUX_SERIES, type LinuxSeries } from "../../native/build/kernel.ts";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { describeError } from "../../src/shared/errors.ts";
import { Box } from "./box.ts";
import { DOM0_RELEASES, type XenRelease } from "./dom0.ts";

/** A boot with counted instructions, on a busy machine. */
const VIRTUAL_BOOT_MS = 900_000;

interface UpOptions {
  readonly name: string;
  readonly xen: XenRelease;
  readonly linux: LinuxSeries;
  readonly library?: string;
  readonly virtualTime?: boolean;
}

async function up({ name, xen, linux, library, virtualTime }: UpOptions): Promise<void> {
  const started = performance.now();
  await Box.up({
    name,
    xen,
    library: library ?? (await nodeLibrary(linux)),
    ...(virtualTime && { virtualTime, bootTimeoutMs: VIRTUAL_BOOT_MS }),
  });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.error(`box: Xen ${xen} is up after ${seconds} s`);
}

/** Joins words to one shell command; a single word is taken as it is, so that pipes work. */
function shellCommand(words: readonly string[]): string {
  if (words.length === 1) return words[0] ?? "";
  return words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
}

async function exec(words: readonly string[], { name }: { name: string }): Promise<void> {
  const args = [...Box.named(name).sshArguments(), ...(words.length ? [shellCommand(words)] : [])];
  const child = spawn("ssh", args, { stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  process.exitCode = code ?? 255;
}

/** A check of an option's value. */
function oneOf(known: readonly string[]): (value: string) => string {
  return (value) => {
    if (known.includes(value)) return value;
    throw new InvalidArgumentError(`one of ${known.join(", ")}`);
  };
}

const program = new Command("box")
  .description("A real Xen with a Debian dom0 in QEMU")
  // `exec` hands everything behind its own words to the command in dom0.
  .enablePositionalOptions();
const named = (command: Command) => command.option("--name <name>", "which box", "default");
named(program.command("up"))
  .description("build what is missing, boot, return when dom0 is ready")
  .option(
    "--xen <release>",
    "4.20, 4.17 (Debian 12) or 4.14",
    oneOf(Object.keys(DOM0_RELEASES)),
    "4.20",
  )
  .option("--linux <series>", "the pods' kernel: 6.12 or 6.1", oneOf(LINUX_SERIES), "6.12")
  .option("--library <directory>", "take this as /usr/lib/lightvm instead of building it")
  .option("--virtual-time", "count instructions instead of seconds; for measurements")
  .action(up);
named(program.command("exec [words...]"))
  .description("run a command in dom0; without one, a shell")
  .passThroughOptions()
  .action(exec);
named(program.command("console"))
  .description("print where the console's log is")
  .action(({ name }: { name: string }) => console.log(Box.named(name).consoleLog));
named(program.command("down"))
  .description("power off")
  .action(async ({ name }: { name: string }) => await Box.named(name).down());

try {
  await program.parseAsync();
} catch (error) {
  console.error(`box: ${describeError(error)}`);
  process.exitCode = 1;
}
