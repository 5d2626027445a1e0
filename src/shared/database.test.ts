// SPDX-License-Identifier: Apache-2.0
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { z } from "zod";
import { Database } from "./database.ts";

const PETS = "CREATE TABLE pets (name TEXT PRIMARY KEY, legs INTEGER NOT NULL) STRICT";
const pet = z.strictObject({ name: z.string(), legs: z.number() });

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lightvm-database-"));
  path = join(directory, "state.db");
});
afterEach(() => rmSync(directory, { recursive: true }));

describe("Database", () => {
  it("keeps rows across close and open", () => {
    using first = new Database(path);
    first.migrate("zoo", [PETS]);
    expect(first.run("INSERT INTO pets VALUES (?, ?)", ["rex", 4])).toBe(1);
    first.close();
    using second = new Database(path);
    second.migrate("zoo", [PETS]);
    expect(second.get(pet, "SELECT * FROM pets WHERE name = :name", { name: "rex" })).toEqual({
      name: "rex",
      legs: 4,
    });
    expect(second.get(pet, "SELECT * FROM pets WHERE name = 'none'")).toBeUndefined();
  });

  it("runs each migration once, in order, for each module", () => {
    using database = new Database(path);
    database.migrate("zoo", [PETS]);
    database.migrate("zoo", [PETS, "ALTER TABLE pets ADD COLUMN owner TEXT"]);
    database.migrate("farm", [(db) => db.exec("CREATE TABLE cows (name TEXT) STRICT")]);
    database.run("INSERT INTO pets (name, legs, owner) VALUES ('rex', 4, 'ann')");
    expect(database.all(z.unknown(), "SELECT * FROM cows")).toEqual([]);
  });

  it("leaves the layout as it was when a migration fails", () => {
    using database = new Database(path);
    expect(() => database.migrate("zoo", [`${PETS}; CREATE TABLE broken (`])).toThrow();
    database.migrate("zoo", [PETS]);
  });

  it("refuses tables of a newer release", () => {
    using database = new Database(path);
    database.migrate("zoo", [PETS, "CREATE TABLE more (x TEXT) STRICT"]);
    expect(() => database.migrate("zoo", [PETS])).toThrow(
      expect.objectContaining({ code: "failed-precondition" }),
    );
  });

  it("undoes a transaction that throws, and only the inner one of two", () => {
    using database = new Database(path);
    database.migrate("zoo", [PETS]);
    const add = (name: string) => database.run("INSERT INTO pets VALUES (?, 4)", [name]);
    const addThenFail = (name: string) => {
      add(name);
      throw new Error("no");
    };
    expect(() => database.transaction(() => addThenFail("one"))).toThrow("no");
    database.transaction(() => {
      add("two");
      expect(() => database.transaction(() => addThenFail("three"))).toThrow("no");
      add("four");
    });
    expect(database.all(pet, "SELECT * FROM pets ORDER BY name").map(({ name }) => name)).toEqual([
      "four",
      "two",
    ]);
  });

  it("refuses asynchronous work in a transaction", () => {
    using database = new Database(path);
    expect(() => database.transaction(async () => 1)).toThrow("must not be asynchronous");
  });

  it("reports a row that is not what the schema says as data-loss", () => {
    using database = new Database(path);
    database.migrate("zoo", [PETS]);
    database.run("INSERT INTO pets VALUES ('rex', 4)");
    const wrong = z.strictObject({ name: z.number(), legs: z.number() });
    expect(() => database.all(wrong, "SELECT * FROM pets")).toThrow(
      expect.objectContaining({ code: "data-loss" }),
    );
  });

  it("reports a file that is no database as data-loss, a full disk as resource-exhausted", () => {
    writeFileSync(path, "this is not a database, but text of some length ".repeat(100));
    expect(() => new Database(path)).toThrow(expect.objectContaining({ code: "data-loss" }));
    using database = new Database(join(directory, "full.db"));
    database.migrate("zoo", [PETS]);
    database.exec("PRAGMA max_page_count = 8");
    const fill = () => {
      for (let i = 0; ; i++) {
        database.run("INSERT INTO pets VALUES (?, 4)", [`${i}${"x".repeat(1000)}`]);
      }
    };
    expect(() => database.transaction(fill)).toThrow(
      expect.objectContaining({ code: "resource-exhausted" }),
    );
    expect(database.all(pet, "SELECT * FROM pets")).toEqual([]);
  });

  it("can be closed twice", () => {
    const database = new Database(path);
    database.close();
    database.close();
  });
});
