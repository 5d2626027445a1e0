// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import type { Database } from "../../shared/database.ts";
import { networkListSchema } from "./network-list.ts";
import { resultSchema } from "./result.ts";

/**
 * What must be known of an attachment to undo it, whatever has become of the configuration since:
 * written before the first plugin runs, and again with what they gave back.
 */
const attachmentSchema = z.object({
  version: z.literal(1),
  list: networkListSchema,
  /** CNI_ARGS. */
  arguments: z.string(),
  /** Of each capability; a plugin gets those that it asked for. */
  capabilities: z.record(z.string(), z.unknown()),
  /** What ADD gave back; absent while it runs, and when it failed. */
  result: resultSchema.optional(),
});

export type AttachmentRecord = Readonly<z.output<typeof attachmentSchema>>;

const rowSchema = z.object({ id: z.string() });
const recordRowSchema = z.object({ record: z.string() });

const MIGRATIONS = [
  `CREATE TABLE network_attachments (id TEXT PRIMARY KEY, record TEXT NOT NULL) STRICT;
   CREATE TABLE network_settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT`,
];

const POD_CIDR = "pod_cidr";

/** The pods that are in the network, or half in it, by sandbox id. */
export class AttachmentStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
    database.migrate("network", MIGRATIONS);
  }

  ids(): string[] {
    return this.#database.all(rowSchema, "SELECT id FROM network_attachments").map(({ id }) => id);
  }

  find(id: string): AttachmentRecord | undefined {
    const sql = "SELECT record FROM network_attachments WHERE id = ?";
    const row = this.#database.get(recordRowSchema, sql, [id]);
    return row === undefined ? undefined : attachmentSchema.parse(JSON.parse(row.record));
  }

  write(id: string, record: AttachmentRecord): void {
    this.#database.run("INSERT OR REPLACE INTO network_attachments (id, record) VALUES (?, ?)", [
      id,
      JSON.stringify(record),
    ]);
  }

  delete(id: string): void {
    this.#database.run("DELETE FROM network_attachments WHERE id = ?", [id]);
  }

  /** As it was set last; "" = never. */
  get podCidr(): string {
    const sql = "SELECT value AS record FROM network_settings WHERE name = ?";
    return this.#database.get(recordRowSchema, sql, [POD_CIDR])?.record ?? "";
  }

  set podCidr(cidr: string) {
    const sql = "INSERT OR REPLACE INTO network_settings (name, value) VALUES (?, ?)";
    this.#database.run(sql, [POD_CIDR, cidr]);
  }
}
