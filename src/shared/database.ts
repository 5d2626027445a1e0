// SPDX-License-Identifier: Apache-2.0
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite";
import type { z } from "zod";
import { LightvmError } from "./errors.ts";

/** SQL of one step, or what it does to the database. Never edited once released: add another. */
export type Migration = string | ((database: Database) => void);

/** What a statement takes as `?` in order, or by name (`:id` or `$id` is the key `id`). */
export type Parameters = readonly SQLInputValue[] | Readonly<Record<string, SQLInputValue>>;

/** Layout of the one table that this file owns. */
const OWN_LAYOUT = 1;
/** How long a statement waits for another process's lock (`lightvm ps` beside `lightvmd`). */
const BUSY_TIMEOUT_MS = 5000;
const SQLITE_CORRUPT = 11;
const SQLITE_FULL = 13;
const SQLITE_NOTADB = 26;
const SQLITE_IOERR = 10;

/**
 * The node's records: one SQLite file in WAL mode, in which each module owns its own tables. What
 * a committed transaction wrote survives kill -9 and power loss (synchronous = FULL).
 *
 * All calls are synchronous and throw LightvmError: "resource-exhausted" for a full disk,
 * "data-loss" for a damaged file or a row that is not what its schema says, "internal" otherwise.
 */
export class Database {
  readonly path: string;
  readonly #sqlite: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #depth = 0;

  /** Opens or creates the file; its directory must exist. ":memory:" is a database of its own. */
  constructor(path: string) {
    this.path = path;
    this.#sqlite = this.#guard("open", () => new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS }));
    try {
      this.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;");
      this.#prepareOwnTable();
    } catch (error) {
      this.#sqlite.close();
      throw error;
    }
  }

  /**
   * Brings the tables of `module` to its newest layout: runs the migrations that have not run yet,
   * each in a transaction with the note that it has. Refuses a database whose tables a newer
   * release has changed.
   */
  migrate(module: string, migrations: readonly Migration[]): void {
    const row = this.#sqlite.prepare("SELECT version FROM layouts WHERE module = ?").get(module);
    const from = Number(row?.["version"] ?? 0);
    if (from > migrations.length) {
      throw new LightvmError(
        "failed-precondition",
        `${this.path}: the ${module} tables have layout ${from}, this release knows ${migrations.length}; install the newer release`,
      );
    }
    for (const [index, migration] of migrations.slice(from).entries()) {
      this.transaction(() => {
        if (typeof migration === "string") this.exec(migration);
        else migration(this);
        this.run(
          "INSERT INTO layouts (module, version) VALUES (?, ?) ON CONFLICT (module) DO UPDATE SET version = excluded.version",
          [module, from + index + 1],
        );
      });
    }
  }

  /** Runs statements without parameters or results. */
  exec(sql: string): void {
    this.#guard("exec", () => this.#sqlite.exec(sql));
  }

  /** Runs one statement; returns how many rows it changed. */
  run(sql: string, parameters: Parameters = []): number {
    return this.#guard("run", () => {
      const statement = this.#statement(sql);
      const result = isPositional(parameters)
        ? statement.run(...parameters)
        : statement.run(parameters);
      return Number(result.changes);
    });
  }

  /** All rows of a query, each checked against `schema`. */
  all<Schema extends z.ZodType>(
    schema: Schema,
    sql: string,
    parameters: Parameters = [],
  ): z.output<Schema>[] {
    const rows = this.#guard("query", () => {
      const statement = this.#statement(sql);
      return isPositional(parameters) ? statement.all(...parameters) : statement.all(parameters);
    });
    return rows.map((row) => this.#check(schema, row, sql));
  }

  /** The first row of a query, checked against `schema`; undefined when there is none. */
  get<Schema extends z.ZodType>(
    schema: Schema,
    sql: string,
    parameters: Parameters = [],
  ): z.output<Schema> | undefined {
    return this.all(schema, sql, parameters)[0];
  }

  /**
   * Runs `work` (synchronous) in a transaction: all of it is kept, or, when it throws, nothing.
   * Inside another transaction it becomes a part of that one, to be undone by itself.
   */
  transaction<Result>(work: () => Result): Result {
    const savepoint = `nested_${this.#depth}`;
    const outermost = this.#depth === 0;
    this.exec(outermost ? "BEGIN IMMEDIATE" : `SAVEPOINT ${savepoint}`);
    this.#depth += 1;
    try {
      const result = work();
      if (result instanceof Promise) {
        throw new LightvmError("internal", "a transaction's work must not be asynchronous");
      }
      this.exec(outermost ? "COMMIT" : `RELEASE ${savepoint}`);
      return result;
    } catch (error) {
      this.#rollBack(outermost ? "ROLLBACK" : `ROLLBACK TO ${savepoint}; RELEASE ${savepoint}`);
      throw error;
    } finally {
      this.#depth -= 1;
    }
  }

  /** Writes the log back into the file and closes it. Closing twice is allowed. */
  close(): void {
    this.#statements.clear();
    if (this.#sqlite.isOpen) this.#sqlite.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #prepareOwnTable(): void {
    const layout = Number(this.#sqlite.prepare("PRAGMA user_version").get()?.["user_version"]);
    if (layout > OWN_LAYOUT) {
      throw new LightvmError(
        "failed-precondition",
        `${this.path} was written by a newer release; install that one`,
      );
    }
    if (layout === OWN_LAYOUT) return;
    this.transaction(() => {
      this.exec(
        "CREATE TABLE IF NOT EXISTS layouts (module TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT",
      );
      this.exec(`PRAGMA user_version = ${OWN_LAYOUT}`);
    });
  }

  /** A full disk makes SQLite roll back by itself; then there is nothing left to undo. */
  #rollBack(sql: string): void {
    if (this.#sqlite.isTransaction) this.exec(sql);
  }

  #statement(sql: string): StatementSync {
    const known = this.#statements.get(sql);
    if (known !== undefined) return known;
    const statement = this.#sqlite.prepare(sql);
    this.#statements.set(sql, statement);
    return statement;
  }

  #check<Schema extends z.ZodType>(schema: Schema, row: unknown, sql: string): z.output<Schema> {
    const result = schema.safeParse(row);
    if (result.success) return result.data;
    throw new LightvmError("data-loss", `${this.path} holds a malformed row (${sql})`, {
      cause: result.error,
    });
  }

  #guard<Result>(what: string, work: () => Result): Result {
    try {
      return work();
    } catch (cause) {
      if (cause instanceof LightvmError) throw cause;
      throw new LightvmError(codeOf(cause), `${this.path}: ${what} failed`, { cause });
    }
  }
}

function isPositional(parameters: Parameters): parameters is readonly SQLInputValue[] {
  return Array.isArray(parameters);
}

/** SQLite's extended result codes hold the primary one in their low byte. */
function codeOf(error: unknown): "resource-exhausted" | "data-loss" | "internal" {
  const code = Number((error as { errcode?: unknown }).errcode) & 0xff;
  if (code === SQLITE_FULL) return "resource-exhausted";
  if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB || code === SQLITE_IOERR) {
    return "data-loss";
  }
  return "internal";
}
