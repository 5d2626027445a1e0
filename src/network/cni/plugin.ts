// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import type { z } from "zod";
import { LightvmError } from "../../shared/errors.ts";
import {
  type ProcessStarter,
  type StartedFilter,
  untilReaped,
} from "../../shared/process-starter.ts";
import { throwIfCancelled, waitFor } from "../../shared/wait.ts";
import { type CniResult, errorSchema, resultSchema } from "./result.ts";

/** What a plugin is asked to do (CNI 1.1, section 4). */
export type CniCommand = "ADD" | "CHECK" | "DEL" | "GC";

/** Where plugins are and how long one may take. */
export interface PluginOptions {
  readonly directory: string;
  readonly timeoutMs: number;
  readonly starter: ProcessStarter;
}

/** One run of one plugin. */
export interface PluginRun {
  readonly command: CniCommand;
  /** Name of the executable. */
  readonly type: string;
  /** Of the network, for errors. */
  readonly network: string;
  /** CNI_*, beside CNI_COMMAND and CNI_PATH. */
  readonly environment: Readonly<Record<string, string>>;
  /** What it reads from stdin. */
  readonly config: object;
}

/** A plugin says far less; one that says more is broken. */
const MAX_OUTPUT = 4 * 1024 * 1024;
/** What goes into an error of a plugin that did not say what is wrong. */
const MAX_COMPLAINT = 500;
/** "Try again later" and "not available" (section 5). */
const LATER = [11, 50, 51];

/** Whether the plugin's executable is there. */
export function hasPlugin({ directory }: Pick<PluginOptions, "directory">, type: string): boolean {
  return existsSync(join(directory, type));
}

/**
 * Runs a plugin and returns what it wrote; undefined for nothing. One that has begun to change
 * something is not cancelled: killed in the middle, its ADD leaves what its own DEL fails to delete
 * (bridge: a rule without its chain). Throws "unavailable" when it asks to be tried again,
 * "failed-precondition" when it is not there, "deadline-exceeded", "cancelled" when it has not begun or
 * only looks, "internal" for every other failure, always with what the plugin says.
 */
export async function runPlugin(
  options: PluginOptions,
  run: PluginRun,
  signal?: AbortSignal,
): Promise<CniResult | undefined> {
  const { code, stderr, stdout } = await execute(options, run, signal);
  const what = `the CNI plugin "${run.type}" of network "${run.network}" failed at ${run.command}`;
  if (code !== 0) throw failureOf(what, code, stdout, stderr);
  if (stdout.trim() === "") return undefined;
  const result = parse(resultSchema, stdout);
  if (result === undefined) {
    throw new LightvmError("internal", `${what}: its answer is no CNI result: ${cut(stdout)}`);
  }
  return result;
}

interface Outcome {
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

async function execute(
  { directory, starter, timeoutMs }: PluginOptions,
  { command, config, environment, network, type }: PluginRun,
  signal: AbortSignal | undefined,
): Promise<Outcome> {
  const what = `the CNI plugin "${type}" of network "${network}"`;
  throwIfCancelled(signal, `${what} at ${command}`);
  const variables = { ...environment, CNI_COMMAND: command, CNI_PATH: directory };
  const child = start(starter, join(directory, type), variables, what);
  // A plugin may end without having read its configuration; its exit says why.
  child.stdin.on("error", () => undefined);
  child.stdin.end(JSON.stringify(config));
  try {
    return await waitFor(outcomeOf(starter, child), `${what} at ${command}`, {
      timeoutMs,
      signal: command === "CHECK" ? signal : undefined,
    });
  } catch (error) {
    await kill(starter, child);
    throw error;
  }
}

function start(
  starter: ProcessStarter,
  program: string,
  variables: Readonly<Record<string, string>>,
  what: string,
): StartedFilter {
  try {
    return starter.startFilter(program, { ...ownEnvironment(), ...variables });
  } catch (cause) {
    throw new LightvmError("failed-precondition", `${what} cannot be run`, { cause });
  }
}

function ownEnvironment(): Record<string, string> {
  const set = Object.entries(process.env).filter((entry) => entry[1] !== undefined);
  return Object.fromEntries(set as [string, string][]);
}

async function outcomeOf(starter: ProcessStarter, child: StartedFilter): Promise<Outcome> {
  const [stdout, stderr] = await Promise.all([readAll(child.stdout), readAll(child.stderr)]);
  const { exitCode, signal } = await untilReaped(starter, child.pid);
  return { code: exitCode ?? signal ?? "unknown", stdout, stderr };
}

/** Returns when it is gone; what it has started itself may hold its pipes, which are closed. */
async function kill(starter: ProcessStarter, child: StartedFilter): Promise<void> {
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream.destroy();
  // A child that has not been reaped still has its number.
  if (starter.reap(child.pid) !== undefined) return;
  process.kill(child.pid, "SIGKILL");
  await untilReaped(starter, child.pid);
}

async function readAll(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= MAX_OUTPUT) chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function failureOf(what: string, code: number | string, stdout: string, stderr: string) {
  const error = parse(errorSchema, stdout);
  if (error === undefined) {
    const said = cut(stderr || stdout) || "it does not say why";
    return new LightvmError("internal", `${what} (exit ${code}): ${said}`);
  }
  const details = error.details === undefined || error.details === "" ? "" : `; ${error.details}`;
  const kind = LATER.includes(error.code ?? 0) ? "unavailable" : "internal";
  return new LightvmError(kind, `${what} (code ${error.code ?? code}): ${error.msg}${details}`);
}

function parse<Schema extends z.ZodType>(schema: Schema, text: string) {
  try {
    return schema.safeParse(JSON.parse(text)).data as z.output<Schema> | undefined;
  } catch {
    return undefined;
  }
}

function cut(text: string): string {
  return text.trim().slice(0, MAX_COMPLAINT);
}
