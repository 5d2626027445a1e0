// SPDX-License-Identifier: Apache-2.0
// `npm run bench`: measures in virtual time (one executed instruction = one nanosecond), ours and the
// peers in the same run; prints a table, writes results/latest.json and plots.
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { columns } from "../../src/shared/columns.ts";
import { describeError } from "../../src/shared/errors.ts";
import { CONTAINERD_PACKAGES } from "../framework/containerd.ts";
import { type Extent, measure, PARTS, type Part } from "./measure.ts";
import { type Measurements, readSeen } from "./measurements.ts";
import { say } from "./progress.ts";
import { type Part as BreakdownPart, breakdown } from "./report/breakdown.ts";
import { rounded, table } from "./report/figure.ts";
import { alone, figures } from "./report/goals.ts";
import { paperPlots } from "./report/paper-plots.ts";
import { draw } from "./report/plots.ts";
import { upInVirtualTime } from "./virtual-box.ts";

const RESULTS = join(import.meta.dirname, "results");
/** MiB; a noop guest takes less than 4 of Xen's and 2 of dom0's memory, and Tinyx guests come and go. */
const DOM0_MIB = 3072;
const DOM0_MIB_A_GUEST = 2;
const XEN_MIB = 1024;
const XEN_MIB_A_GUEST = 4;

interface Options extends Extent {
  /** Report what the last run has seen, without measuring. */
  readonly again: boolean;
}

async function measureAndReport(extent: Extent): Promise<void> {
  const library = await nodeLibrary();
  await using undo = new AsyncDisposableStack();
  say("booting the box; with counted instructions this takes minutes");
  const guests = Math.max(extent.crowd, extent.peerCrowd);
  const dom0MemoryMib = DOM0_MIB + DOM0_MIB_A_GUEST * guests;
  const options = {
    name: "bench",
    library,
    packages: CONTAINERD_PACKAGES,
    memoryMib: dom0MemoryMib + XEN_MIB + XEN_MIB_A_GUEST * guests,
    dom0MemoryMib,
  };
  const box = undo.adopt(await upInVirtualTime(options), async (each) => await each.down());
  await report(await measure(box, extent), library);
}

async function bench({ again, ...extent }: Options): Promise<void> {
  if (again) await report(await readSeen(), await nodeLibrary());
  else await measureAndReport(extent);
}

async function report(seen: Partial<Measurements>, library: string): Promise<void> {
  const size = async (name: string) => (await stat(join(library, name))).size;
  const result = figures(seen, await size("guest/daytime"));
  const breakdowns =
    seen.toolstack === undefined ? {} : allBreakdowns({ toolstack: seen.toolstack });
  print(result, breakdowns, seen);
  if (!isWhole(seen)) {
    say("only a part was measured: nothing is written");
    return;
  }
  const document = {
    figures: result,
    missing: { P9: "save and restore are not built" },
    bytes: {
      "vmlinux-up": await size("guest/vmlinux-up"),
      "vmlinux-smp": await size("guest/vmlinux-smp"),
      "initramfs (agent)": await size("guest/initramfs.cpio"),
      noop: await size("guest/noop"),
      daytime: await size("guest/daytime"),
      "lightvm-vmm": await size("bin/lightvm-vmm"),
      "lightvm-vmm resident": Math.max(...seen.pods.memory.map((pod) => pod.vmmResidentBytes)),
      "lightvm-vmm private": Math.max(...seen.pods.memory.map((pod) => pod.vmmPrivateBytes)),
      "Xen memory of a Tinyx pod": Math.max(...seen.pods.memory.map((pod) => pod.xenBytes)),
    },
    breakdowns,
    xl: seen.xl.shares,
    marks: seen.toolstack.marks.map(({ guests, idle, memory }) => ({ guests, idle, memory })),
    idle: { lightvm: seen.crowd.idle, containerd: seen.containerd.crowd.idle },
  };
  await mkdir(RESULTS, { recursive: true });
  const text = JSON.stringify(document, shortened, 1);
  await writeFile(join(RESULTS, "latest.json"), `${text}\n`);
  for (const [name, plot] of Object.entries(paperPlots(seen))) await draw(plot, RESULTS, name);
}

/** Four decimals are more than a figure holds. */
function shortened(_key: string, value: unknown): unknown {
  return typeof value === "number" ? Math.round(value * 1e4) / 1e4 : value;
}

function isWhole(seen: Partial<Measurements>): seen is Measurements {
  return PARTS.every((part) => seen[part] !== undefined);
}

/** Of each way to create a guest, on a machine without other guests. */
function allBreakdowns(seen: Pick<Measurements, "toolstack">): Record<string, BreakdownPart[]> {
  const levels = seen.toolstack.marks[0]?.levels ?? [];
  return Object.fromEntries(
    levels.map(({ kind, level }) => [`${kind}, ${level}`, breakdown(alone(seen, kind, level))]),
  );
}

function print(
  result: ReturnType<typeof figures>,
  breakdowns: ReturnType<typeof allBreakdowns>,
  { forkExec, xl }: Partial<Measurements>,
): void {
  console.log(table(result));
  console.log(`\nfork + exec of true: ${forkExec?.map(rounded).join(", ")} vms`);
  for (const [name, parts] of Object.entries(breakdowns)) {
    const rows = parts.map((part) => [
      `  ${part.milliseconds.toFixed(3)} vms`,
      part.name,
      part.hypercalls > 0 ? `${part.hypercalls} hypercalls` : "",
      part.bytesCopied > 0 ? `${part.bytesCopied} bytes` : "",
    ]);
    console.log(`\n${name}:\n${columns(rows)}`);
  }
  for (const { milliseconds, name } of xl?.shares ?? []) {
    console.log(`xl create: ${milliseconds.toFixed(1)} vms  ${name}`);
  }
}

function natural(text: string): number {
  const number = Number(text);
  if (!Number.isInteger(number) || number < 1) throw new InvalidArgumentError("a whole number");
  return number;
}

function parts(text: string): Part[] {
  const chosen = text.split(",");
  const unknown = chosen.find((each) => !PARTS.some((part) => part === each));
  if (unknown !== undefined) throw new InvalidArgumentError(`${unknown} is none of ${PARTS}`);
  return PARTS.filter((part) => chosen.includes(part));
}

const program = new Command("bench")
  .description("Measures the goals P1 to P12 in virtual time, with the peers beside them")
  .option("--only <parts>", `some of ${PARTS}; results are written by whole runs only`, parts, [
    ...PARTS,
  ])
  .option("--samples <n>", "of each kind", natural, 5)
  .option("--crowd <n>", "noop guests side by side", natural, 100)
  .option("--peer-crowd <n>", "guests of a peer side by side", natural, 20)
  .option("--again", "report what the last run has seen, without measuring", false)
  .action(async (options: Options) => await bench(options));

try {
  await program.parseAsync();
} catch (error) {
  console.error(`bench: ${describeError(error)}`);
  process.exitCode = 1;
}
