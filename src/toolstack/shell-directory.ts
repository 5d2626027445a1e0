// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { NodePaths } from "../shared/paths.ts";
import { formatRecord, parseRecord, type ShellRecord } from "./shell-record.ts";

const ID_BYTES = 12;
const SHELL_ID = /^[0-9a-f]{24}$/;

/** A new id of a shell: 24 hexadecimal digits, the part of a domain's handle that is free to us. */
export function newShellId(): string {
  return randomBytes(ID_BYTES).toString("hex");
}

/** Whether a name can be a shell's id, and so a directory of ours. */
export function isShellId(name: string): boolean {
  return SHELL_ID.test(name);
}

/** The parents of what belongs to one shell. */
export type ShellParents = Pick<NodePaths, "shells" | "jails">;

/** The files of one shell, from its first moment to the end of its pod: they never move. */
export class ShellDirectory {
  readonly id: string;
  readonly path: string;
  /** The empty directory that is the root of its VMM process. */
  readonly jail: string;

  constructor(parents: ShellParents, id: string) {
    this.id = id;
    this.path = join(parents.shells, id);
    this.jail = join(parents.jails, id);
  }

  get socket(): string {
    return join(this.path, "vmm.sock");
  }

  get vmmLog(): string {
    return join(this.path, "vmm.log");
  }

  get fileServerLog(): string {
    return join(this.path, "files.log");
  }

  get bootLog(): string {
    return join(this.path, "boot.log");
  }

  get journal(): string {
    return join(this.path, "journal");
  }

  get #recordFile(): string {
    return join(this.path, "shell.json");
  }

  /** Makes both directories. */
  create(): void {
    mkdirSync(join(this.path, ".."), { recursive: true, mode: 0o711 });
    mkdirSync(join(this.jail, ".."), { recursive: true, mode: 0o711 });
    mkdirSync(this.path, { mode: 0o700 });
    mkdirSync(this.jail, { mode: 0o755 });
  }

  /** Removes everything; no error when nothing is there. */
  async remove(): Promise<void> {
    // A process that is just ending may write once more while the files go.
    const options = { recursive: true, force: true, maxRetries: 3 };
    await rm(this.jail, options);
    await rm(this.path, options);
  }

  /** Replaces the record, whole or not at all. Synchronous: nothing can come in between. */
  writeRecord(record: ShellRecord): void {
    const temporary = `${this.#recordFile}.new`;
    writeFileSync(temporary, formatRecord(record), { mode: 0o600 });
    renameSync(temporary, this.#recordFile);
  }

  /** The record; undefined when there is none that can be read. */
  readRecord(): ShellRecord | undefined {
    let text: string;
    try {
      text = readFileSync(this.#recordFile, "utf8");
    } catch {
      // Never written: the shell was cut off in its first moment.
      return undefined;
    }
    return parseRecord(text);
  }
}

/** Ids of all shells of which a directory or a jail is left. */
export async function shellIds({ shells, jails }: ShellParents): Promise<string[]> {
  const names = await Promise.all([entries(shells), entries(jails)]);
  return [...new Set(names.flat().filter(isShellId))];
}

async function entries(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
