// SPDX-License-Identifier: Apache-2.0
import { basename, dirname, join } from "node:path";
import { build } from "esbuild";
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";

/** A thousand pods in counted instructions take their time. */
const TIMEOUT_MS = 4 * 3600 * 1000;
/** Lines of what a program has logged that go into the error of its failure. */
const LOG_LINES = 20;

/** A TypeScript program of ours inside a box: one JSON document in, one out. */
export class BoxProgram {
  readonly #box: Box;
  readonly #file: string;

  private constructor(box: Box, file: string) {
    this.#box = box;
    this.#file = file;
  }

  /** Bundles `entry`, a path below this directory, and puts it into the box. */
  static async install(box: Box, entry: string): Promise<BoxProgram> {
    const { outputFiles } = await build({
      entryPoints: [join(import.meta.dirname, entry)],
      bundle: true,
      write: false,
      platform: "node",
      target: "node24",
      format: "esm",
      banner: {
        js: 'import { createRequire as createRequireForBundle } from "node:module"; const require = createRequireForBundle("/");',
      },
      logLevel: "warning",
    });
    const [program] = outputFiles;
    if (program === undefined) throw new LightvmError("internal", "esbuild has made nothing");
    const file = `/run/${basename(dirname(entry))}.mjs`;
    const { code, stderr } = await box.exec(`cat >${file}`, { input: program.contents });
    if (code !== 0) throw new LightvmError("unavailable", `no ${file} in the box: ${stderr}`);
    return new BoxProgram(box, file);
  }

  /** Runs it. Throws "unavailable" with the end of what it logged when it fails. */
  async ask<Answer>(request: object, args: readonly string[] = []): Promise<Answer> {
    const log = `${this.#file}.log`;
    const command = `node ${[this.#file, ...args].join(" ")} 2>${log} || { tail -n ${LOG_LINES} ${log} >&2; exit 1; }`;
    const { code, stderr, stdout } = await this.#box.exec(command, {
      input: JSON.stringify(request),
      timeoutMs: TIMEOUT_MS,
    });
    if (code === 0) return JSON.parse(stdout) as Answer;
    throw new LightvmError("unavailable", `${this.#file} failed in the box: ${stderr}`);
  }
}
