// SPDX-License-Identifier: Apache-2.0
// `npm run conformance`: critest on LightVM and on containerd + runc in one box, and CONFORMANCE.md.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { describeError } from "../../src/shared/errors.ts";
import { Box } from "../box/box.ts";
import { CONTAINERD_PACKAGES } from "../framework/containerd.ts";
import { Registry } from "../framework/registry.ts";
import { critest } from "./critest.ts";
import { conformanceDocument, type Results, surprises } from "./document.ts";
import { pushTestImages } from "./images/images.ts";
import type { SuiteResult } from "./result.ts";
import { RUNTIMES, type RuntimeName } from "./runtimes.ts";

interface Options {
  readonly runtime?: RuntimeName;
  readonly parallel: number;
  readonly focus?: string;
  readonly keep?: boolean;
}

const BOX = "conformance";
const RESULTS = join(import.meta.dirname, "results");
const DOCUMENT = resolve(import.meta.dirname, "../../CONFORMANCE.md");
const NAMES = Object.keys(RUNTIMES) as RuntimeName[];

async function runSuite(
  box: Box,
  registry: Registry,
  name: RuntimeName,
  { parallel, focus }: Options,
): Promise<SuiteResult> {
  console.error(`[conformance] ${name}`);
  const output: string[] = [];
  await using runtime = await RUNTIMES[name](box, `http://${registry.host}`);
  const before = await runtime.traces();
  try {
    const { endpoint } = runtime;
    const onLine = (line: string) => output.push(line);
    const specs = await critest(box, { endpoint, parallel, focus, onLine });
    const leftBehind = (await runtime.traces()).filter((trace) => !before.includes(trace));
    return { runtime: runtime.name, parallel, specs, leftBehind };
  } finally {
    await writeFile(join(box.directory, `critest-${name}.log`), output.join("\n"));
    await writeFile(join(box.directory, `${name}.log`), await runtime.log());
    console.error(`[conformance] logs are in ${box.directory}`);
  }
}

/** The last whole runs, one file a runtime, so that one can be run without the other. */
async function storedResults(): Promise<Results> {
  const results: Partial<Record<RuntimeName, SuiteResult>> = {};
  for (const name of NAMES) {
    try {
      const text = await readFile(join(RESULTS, `${name}.json`), "utf8");
      results[name] = JSON.parse(text) as SuiteResult;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
  }
  return results;
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
  const { stdout: version } = await box.exec("crictl --version");
  const registry = await Registry.start(box);
  console.error("[conformance] pushing the images");
  await pushTestImages(registry);
  const unexpected: string[] = [];
  for (const name of names) {
    const result = await runSuite(box, registry, name, options);
    const left = result.leftBehind.map((trace) => `left behind: ${trace}`);
    unexpected.push(...[...surprises(name, result), ...left].map((text) => `${name}: ${text}`));
    const passed = result.specs.filter(({ state }) => state === "passed").length;
    console.error(`[conformance] ${result.runtime}: ${passed} of ${result.specs.length} passed`);
    if (options.focus !== undefined) continue;
    await mkdir(RESULTS, { recursive: true });
    await writeFile(join(RESULTS, `${name}.json`), `${JSON.stringify(result, null, 2)}\n`);
    const critestVersion = version.trim().split(" ").at(-1) ?? "";
    await writeFile(DOCUMENT, conformanceDocument(critestVersion, await storedResults()));
  }
  for (const text of unexpected) console.error(`[conformance] ${text}`);
  if (unexpected.some((text) => text.startsWith("lightvm:"))) process.exitCode = 1;
}

function runtimeName(value: string): string {
  if (Object.hasOwn(RUNTIMES, value)) return value;
  throw new InvalidArgumentError(`one of ${NAMES.join(", ")}`);
}

const program = new Command("conformance")
  .description("critest on LightVM and, beside it, on containerd + runc; writes CONFORMANCE.md")
  .option("--runtime <name>", `only one of ${NAMES.join(", ")}`, runtimeName)
  .option("--parallel <n>", "specs that run side by side", Number, 1)
  .option("--focus <regexp>", "only specs whose name matches; CONFORMANCE.md stays as it is")
  .option("--keep", "leave the box running")
  .action(conformance);

try {
  await program.parseAsync();
} catch (error) {
  console.error(`conformance: ${describeError(error)}`);
  process.exitCode = 1;
}
