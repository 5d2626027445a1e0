// SPDX-License-Identifier: Apache-2.0
// `npm run bench`: measures in virtual time (one executed instruction = one nanosecond), ours and the
// peers in the same run; prints a table, writes results/latest.json and plots.
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { describeError } from "../../src/shared/errors.ts";
import { Box } from "../box/box.ts";
import { CONTAINERD_PACKAGES } from "../framework/containerd.ts";
import { median, table } from "./figures.ts";
import { type Extent, type Measurements, measure } from "./measure.ts";
import { draw } from "./plots.ts";
import { figures, plots } from "./report.ts";

const RESULTS = join(import.meta.dirname, "results");
/** MiB; a thousand noop pods take 4 GiB at the most. */
const DOM0_MIB = 3072;
const POD_MIB = 4;

async function bench(extent: Extent): Promise<void> {
  const library = await nodeLibrary();
  await using undo = new AsyncDisposableStack();
  console.error("[bench] booting the box; with counted instructions this takes minutes");
  const options = {
    name: "bench",
    library,
    packages: CONTAINERD_PACKAGES,
    memoryMib: DOM0_MIB + 2048 + POD_MIB * extent.crowd,
    dom0MemoryMib: DOM0_MIB + 2 * extent.crowd,
    virtualTime: true,
    bootTimeoutMs: 1_800_000,
  };
  const box = undo.adopt(await Box.up(options), async (each) => await each.down());
  const seen = await measure(box, extent);
  await report(seen, library);
}

async function report(seen: Measurements, library: string): Promise<void> {
  const size = async (name: string) => (await stat(join(library, name))).size;
  const result = figures(seen, await size("guest/daytime"));
  const { pods, levels } = seen;
  const document = {
    figures: result,
    bytes: {
      "vmlinux-up": await size("guest/vmlinux-up"),
      "vmlinux-smp": await size("guest/vmlinux-smp"),
      "initramfs (agent)": await size("guest/initramfs.cpio"),
      noop: await size("guest/noop"),
      daytime: await size("guest/daytime"),
      "lightvm-vmm": await size("bin/lightvm-vmm"),
      "lightvm-vmm resident": Math.max(...pods.map((pod) => pod.vmmResidentBytes)),
      "lightvm-vmm private": Math.max(...pods.map((pod) => pod.vmmPrivateBytes)),
      "Xen memory of a Tinyx pod": Math.max(...pods.map((pod) => pod.xenBytes)),
    },
    breakdown: pods.at(-1)?.steps,
    pool: levels,
    lists: seen.crowd.lists,
    idle: seen.crowd.idle,
  };
  await mkdir(RESULTS, { recursive: true });
  await writeFile(join(RESULTS, "latest.json"), `${JSON.stringify(document, undefined, 2)}\n`);
  for (const [name, plot] of Object.entries(plots(seen))) await draw(plot, RESULTS, name);
  console.log(table(result));
  for (const { level, create, execute } of levels) {
    const [whole, part] = [create, execute].map((each) => median(each).toFixed(2));
    console.log(`${level} shell: ${whole} vms for the toolstack's call, ${part} until unpaused`);
  }
  for (const step of document.breakdown ?? []) {
    const vms = (step.nanoseconds / 1e6).toFixed(2).padStart(9);
    console.log(`${vms} vms  ${step.phase}: ${step.name} (${step.hypercalls} hypercalls)`);
  }
}

function natural(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError("a whole number");
  return number;
}

const program = new Command("bench")
  .description("Measures the goals P1 to P12 in virtual time, with the peers beside them")
  .option("--samples <n>", "of each kind", natural, 5)
  .option("--crowd <n>", "noop pods side by side", natural, 100)
  .option("--peer-crowd <n>", "guests of a peer side by side", natural, 20)
  .action(async (options: Extent) => await bench(options));

try {
  await program.parseAsync();
} catch (error) {
  console.error(`bench: ${describeError(error)}`);
  process.exitCode = 1;
}
