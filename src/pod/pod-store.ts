// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import type { Database, Migration } from "../shared/database.ts";
import {
  type ContainerMetadata,
  type ContainerStatus,
  containerMetadataSchema,
  containerStatusSchema,
} from "./container-record.ts";
import { fromText, toText } from "./persisted.ts";
import {
  type SandboxMetadata,
  type SandboxStatus,
  sandboxMetadataSchema,
  sandboxStatusSchema,
} from "./sandbox-record.ts";

const MIGRATIONS: readonly Migration[] = [
  `CREATE TABLE sandboxes (
     number INTEGER PRIMARY KEY AUTOINCREMENT,
     id TEXT NOT NULL UNIQUE,
     metadata TEXT NOT NULL,
     status TEXT NOT NULL
   ) STRICT;
   CREATE TABLE containers (
     number INTEGER PRIMARY KEY AUTOINCREMENT,
     id TEXT NOT NULL UNIQUE,
     sandbox TEXT NOT NULL REFERENCES sandboxes (id) ON DELETE CASCADE,
     metadata TEXT NOT NULL,
     status TEXT NOT NULL
   ) STRICT;
   CREATE INDEX containers_of_sandbox ON containers (sandbox);`,
];

const row = z.object({ id: z.string(), metadata: z.string(), status: z.string() });

/** The records of sandboxes and containers on disk. Each call is one transaction. */
export class PodStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
    database.migrate("pods", MIGRATIONS);
  }

  /** Oldest first. Throws "data-loss" for a record that is not what we wrote. */
  readSandboxes(): { metadata: SandboxMetadata; status: SandboxStatus }[] {
    const rows = this.#database.all(
      row,
      "SELECT id, metadata, status FROM sandboxes ORDER BY number",
    );
    return rows.map(({ id, metadata, status }) => ({
      metadata: fromText(sandboxMetadataSchema, metadata, `sandbox ${id}`),
      status: fromText(sandboxStatusSchema, status, `sandbox ${id}`),
    }));
  }

  /** Oldest first. Throws "data-loss" for a record that is not what we wrote. */
  readContainers(): { metadata: ContainerMetadata; status: ContainerStatus }[] {
    const rows = this.#database.all(
      row,
      "SELECT id, metadata, status FROM containers ORDER BY number",
    );
    return rows.map(({ id, metadata, status }) => ({
      metadata: fromText(containerMetadataSchema, metadata, `container ${id}`),
      status: fromText(containerStatusSchema, status, `container ${id}`),
    }));
  }

  insertSandbox(metadata: SandboxMetadata, status: SandboxStatus): void {
    this.#database.run("INSERT INTO sandboxes (id, metadata, status) VALUES (?, ?, ?)", [
      metadata.id,
      toText(sandboxMetadataSchema, metadata),
      toText(sandboxStatusSchema, status),
    ]);
  }

  updateSandbox(id: string, status: SandboxStatus): void {
    this.#database.run("UPDATE sandboxes SET status = ? WHERE id = ?", [
      toText(sandboxStatusSchema, status),
      id,
    ]);
  }

  /** With its containers. */
  deleteSandbox(id: string): void {
    this.#database.run("DELETE FROM sandboxes WHERE id = ?", [id]);
  }

  insertContainer(metadata: ContainerMetadata, status: ContainerStatus): void {
    const sql = "INSERT INTO containers (id, sandbox, metadata, status) VALUES (?, ?, ?, ?)";
    this.#database.run(sql, [
      metadata.id,
      metadata.sandboxId,
      toText(containerMetadataSchema, metadata),
      toText(containerStatusSchema, status),
    ]);
  }

  updateContainer(id: string, status: ContainerStatus): void {
    this.#database.run("UPDATE containers SET status = ? WHERE id = ?", [
      toText(containerStatusSchema, status),
      id,
    ]);
  }

  deleteContainer(id: string): void {
    this.#database.run("DELETE FROM containers WHERE id = ?", [id]);
  }
}
