// SPDX-License-Identifier: Apache-2.0
// `npm run bench`: measures in virtual time (one executed instruction = one nanosecond), ours and xl
// in the same run, prints a table and writes results/latest.json.
import { mkdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { describeError } from "../../src/shared/errors.ts";
import { Box } from "../box/box.ts";
import { Daemon } from "../framework/daemon.ts";
import { type Figure, figure, median, table } from "./figures.ts";
import { milliseconds, type PodSample, samplePod } from "./ours.ts";
import { sampleLevels } from "./pool-levels.ts";
import { prepareXl, sampleXl, type XlSample } from "./xl.ts";

const SAMPLES = 5;
/** The first pod warms dom0's page cache and is not counted. */
const WARM_UP = 1;

const EXECUTE = ["hand over the files", "execute", "unpause"];
const CREATE = ["start the VMM", "prepare", ...EXECUTE];

async function repeat<T>(what: string, times: number, sample: (i: number) => Promise<T>) {
  const samples: T[] = [];
  for (let i = 0; i < times; i++) {
    console.error(`[bench] ${what} ${i + 1}/${times}`);
    samples.push(await sample(i));
  }
  return samples;
}

function figures(pods: readonly PodSample[], xl: readonly XlSample[]): Record<string, Figure> {
  const of = (names: readonly string[]) => pods.map((pod) => milliseconds(pod, names));
  const created = xl.map(({ create }) => create);
  const mebibytes = (bytes: (pod: PodSample) => number) => pods.map((pod) => bytes(pod) / 2 ** 20);
  return {
    P2: figure(of(EXECUTE), {
      unit: "vms",
      goal: 2,
      peer: { what: "xl create -p, which cannot be split", samples: created },
      note: "shell taken → unpaused, Tinyx pod",
    }),
    P3: figure(of(CREATE), {
      unit: "vms",
      goal: 8,
      peer: { what: "xl create -p of the same kernel", samples: created },
      note: "whole create without a pool; a Tinyx pod, as there is no noop unikernel yet",
    }),
    P4: figure(of(["boot"]), {
      unit: "vms",
      goal: 40,
      peer: {
        what: "xl unpause, same kernel, until init has powered off",
        samples: xl.map(({ boot }) => boot),
      },
      note: "unpaused → agent has said hello",
    }),
    P8: figure(
      mebibytes((pod) => pod.xenBytes + pod.vmmPrivateBytes),
      {
        unit: "MiB",
        goal: 24,
        note: "Xen's free memory lost to a pod of 64 MiB, and its VMM's private memory",
      },
    ),
  };
}

async function main(): Promise<void> {
  const library = await nodeLibrary();
  await using undo = new AsyncDisposableStack();
  console.error("[bench] booting the box; with counted instructions this takes minutes");
  const options = { name: "bench", library, virtualTime: true, bootTimeoutMs: 900_000 };
  const box = undo.adopt(await Box.up(options), async (each) => await each.down());
  const daemon = new Daemon(box);
  await daemon.start({ timeoutMs: 600_000 });
  const all = await repeat("pod", WARM_UP + SAMPLES, (i) => samplePod(box, `bench-${i}`));
  const levels = await sampleLevels(box, daemon, SAMPLES);
  await daemon.end();
  await prepareXl(box);
  const xl = (await repeat("xl", WARM_UP + SAMPLES, () => sampleXl(box))).slice(WARM_UP);
  const pods = all.slice(WARM_UP);
  const result = figures(pods, xl);
  const size = async (name: string) => (await stat(join(library, name))).size;
  const report = {
    figures: result,
    bytes: {
      "vmlinux-up": await size("guest/vmlinux-up"),
      "vmlinux-smp": await size("guest/vmlinux-smp"),
      "initramfs (agent)": await size("guest/initramfs.cpio"),
      "lightvm-vmm": await size("bin/lightvm-vmm"),
      "lightvm-vmm resident": Math.max(...pods.map((pod) => pod.vmmResidentBytes)),
      "lightvm-vmm private": Math.max(...pods.map((pod) => pod.vmmPrivateBytes)),
      "Xen memory of a 64 MiB pod": Math.max(...pods.map((pod) => pod.xenBytes)),
    },
    breakdown: pods.at(-1)?.steps,
    pool: levels,
  };
  const folder = join(import.meta.dirname, "results");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "latest.json"), `${JSON.stringify(report, undefined, 2)}\n`);
  console.log(table(result));
  for (const { level, create, execute } of levels) {
    const [whole, part] = [create, execute].map((each) => median(each).toFixed(2));
    console.log(`${level} shell: ${whole} vms for the toolstack's call, ${part} until unpaused`);
  }
  for (const step of report.breakdown ?? []) {
    const vms = (step.nanoseconds / 1e6).toFixed(2).padStart(9);
    console.log(`${vms} vms  ${step.phase}: ${step.name} (${step.hypercalls} hypercalls)`);
  }
}

try {
  await main();
} catch (error) {
  console.error(`bench: ${describeError(error)}`);
  process.exitCode = 1;
}
