// SPDX-License-Identifier: Apache-2.0
// `npm run conformance`: critest on LightVM and on containerd + runc in one box, and CONFORMANCE.md.
import { createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { describeError } from "../../src/shared/errors.ts";
import { Box } from "../box/box.ts";
import { CONTAINERD_PACKAGES } from "../framework/containerd.ts";
import { Registry } from "../framework/registry.ts";
import { critest } from "./critest.ts";
import { conformanceDocument, differences, type Run, surprises } from "./document.ts";
import { pushTestImages } from "./images/images.ts";
import { useNetwork } from "./network.ts";
import { RUNTIMES, type RuntimeName } from "./runtimes.ts";
import { storedRuns, storeRun } from "./stored-runs.ts";

interface Options {
  readonly runtime?: RuntimeName;
  readonly parallel: number;
  readonly repeat: number;
  readonly focus?: string;
  readonly keep?: boolean;
}

const BOX = "conformance";
const DOCUMENT = resolve(import.meta.dirname, "../../CONFORMANCE.md");
const NAMES = Object.keys(RUNTIMES) as RuntimeName[];
/** critest mounts it on the node itself, and leaves it when its spec on shared propagation fails. */
const MOUNT_OF_CRITEST = /^mount \/tmp\/test[0-9a-f]{32}/;

async function runSuite(
  box: Box,
  registry: Registry,
  name: RuntimeName,
  { parallel, focus }: Options,
): Promise<Run> {
  console.error(`[conformance] ${name}`);
  const output = createWriteStream(join(box.directory, `critest-${name}.log`));
  await using runtime = await RUNTIMES[name](box, `http://${registry.host}`);
  const before = await runtime.traces();
  try {
    const { endpoint } = runtime;
    const onLine = (line: string) => output.write(`${line}\n`);
    const specs = await critest(box, { endpoint, parallel, focus, onLine });
    const leftBehind = (await runtime.traces()).filter(
      (trace) => !before.includes(trace) && !MOUNT_OF_CRITEST.test(trace),
    );
    return { name, runtime: runtime.name, parallel, leftBehind, specs };
  } finally {
    output.end();
    await writeFile(join(box.directory, `${name}.log`), await runtime.log());
    console.error(`[conformance] logs are in ${box.directory}`);
  }
}

/** What is not as it should be in a run, and what is not as it was in the first. */
function faults(run: Run, first: Run): string[] {
  const left = run.leftBehind.map((trace) => `left behind: ${trace}`);
  const changed = differences(first, run).map((text) => `otherwise than before: ${text}`);
  return [...surprises(run.name, run), ...left, ...changed].map((text) => `${run.name}: ${text}`);
}

/** Runs the suite as often as is wanted; returns what is not as it should be. */
async function repeatSuite(
  box: Box,
  registry: Registry,
  name: RuntimeName,
  options: Options,
): Promise<string[]> {
  const { stdout: version } = await box.exec("crictl --version");
  const found: string[] = [];
  const passedInARow: number[] = [];
  const otherwise: string[] = [];
  let first: Run | undefined;
  for (let count = 0; count < options.repeat; count += 1) {
    const run = await runSuite(box, registry, name, options);
    first ??= run;
    found.push(...faults(run, first));
    otherwise.push(...differences(first, run));
    const passed = run.specs.filter(({ state }) => state === "passed").length;
    console.error(`[conformance] ${run.runtime}: ${passed} of ${run.specs.length} passed`);
    if (options.focus !== undefined) continue;
    passedInARow.push(passed);
    await storeRun({ ...run, passedInARow, otherwise });
    const critestVersion = version.trim().split(" ").at(-1) ?? "";
    await writeFile(DOCUMENT, conformanceDocument(critestVersion, await storedRuns()));
  }
  return found;
}

async function conformance(options: Options): Promise<void> {
  const names = options.runtime === undefined ? NAMES : [options.runtime];
  const library = await nodeLibrary();
  await using undo = new AsyncDisposableStack();
  const box = await Box.up({
    name: BOX,
    library,
    packages: CONTAINERD_PACKAGES,
    tools: ["crictl", "critest", "ginkgo"],
  });
  if (!options.keep) undo.defer(async () => await box.down());
  await useNetwork(box);
  const registry = await Registry.start(box);
  console.error("[conformance] pushing the images");
  await pushTestImages(registry);
  const found: string[] = [];
  for (const name of names) found.push(...(await repeatSuite(box, registry, name, options)));
  for (const text of found) console.error(`[conformance] ${text}`);
  if (found.some((text) => text.startsWith("lightvm:"))) process.exitCode = 1;
}

function runtimeName(value: string): string {
  if (Object.hasOwn(RUNTIMES, value)) return value;
  throw new InvalidArgumentError(`one of ${NAMES.join(", ")}`);
}

const program = new Command("conformance")
  .description("critest on LightVM and, beside it, on containerd + runc; writes CONFORMANCE.md")
  .option("--runtime <name>", `only one of ${NAMES.join(", ")}`, runtimeName)
  .option("--parallel <n>", "specs that run side by side", Number, 1)
  .option("--repeat <n>", "runs in a row, which must all end as the first", Number, 1)
  .option("--focus <regexp>", "only specs whose name matches; CONFORMANCE.md stays as it is")
  .option("--keep", "leave the box running")
  .action(conformance);

try {
  await program.parseAsync();
} catch (error) {
  console.error(`conformance: ${describeError(error)}`);
  process.exitCode = 1;
}
