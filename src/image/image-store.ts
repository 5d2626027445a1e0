// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, open, readdir, rename, rm, stat, statfs } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import type { Database, Migration } from "../shared/database.ts";
import { LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import { imageConfigSchema } from "./image-config.ts";
import type { Image, ImageConfig, ImageFsInfo } from "./images.ts";
import { unikernelOf } from "./unikernel.ts";

const MIGRATIONS: readonly Migration[] = [
  `CREATE TABLE images (
     id TEXT PRIMARY KEY,
     file TEXT NOT NULL UNIQUE,
     size INTEGER NOT NULL,
     config TEXT NOT NULL,
     pulled_at INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE image_references (
     name TEXT PRIMARY KEY,
     kind TEXT NOT NULL CHECK (kind IN ('tag', 'digest')),
     image TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE
   ) STRICT;
   CREATE INDEX references_of_image ON image_references (image);`,
];

const imageRow = z.object({
  id: z.string(),
  file: z.string(),
  size: z.number(),
  config: z.string(),
  pulled_at: z.number(),
});
const referenceRow = z.object({ name: z.string(), kind: z.enum(["tag", "digest"]) });
const imageOfReference = z.object({ image: z.string() });

/** Under the images' directory: where pulls work. Emptied at every start. */
const WORK_DIRECTORY = "work";
const FILE_SUFFIX = ".erofs";
const KERNEL_SUFFIX = ".kernel";

/** Names that lead to an image. */
export interface ImageNames {
  /** "docker.io/library/busybox:1.37"; moves here when it stood elsewhere. */
  readonly tag: string | undefined;
  /** "docker.io/library/busybox@sha256:…" */
  readonly digest: string;
}

export interface NewImage {
  readonly id: string;
  readonly config: ImageConfig;
  /** A finished EROFS file on the store's disk, synced. The store takes it over. */
  readonly path: string;
  /** The same for the kernel of a unikernel. */
  readonly kernelPath: string | undefined;
}

/**
 * Images on disk: records in SQLite, one EROFS file each. A file gets its record after it is
 * complete and loses it before it is deleted, so a crash leaves only files without records, which
 * the next start removes. Each file has a name of its own for ever: what deletes an old one cannot
 * hit a new one of the same image.
 */
export class ImageStore {
  readonly #directory: string;
  readonly #database: Database;

  private constructor(directory: string, database: Database) {
    this.#directory = directory;
    this.#database = database;
    database.migrate("images", MIGRATIONS);
  }

  /** Opens the store and removes what a crash left. The directory is this process's alone. */
  static async open(directory: string, database: Database, logger: Logger): Promise<ImageStore> {
    const store = new ImageStore(directory, database);
    await mkdir(directory, { recursive: true, mode: 0o711 });
    await rm(join(directory, WORK_DIRECTORY), { recursive: true, force: true });
    await mkdir(join(directory, WORK_DIRECTORY), { mode: 0o700 });
    await store.#reconcile(logger);
    return store;
  }

  /** A new empty directory on the store's disk; whoever asks removes it. */
  async makeWorkDirectory(): Promise<string> {
    return mkdtemp(join(this.#directory, WORK_DIRECTORY, "pull-"));
  }

  /**
   * Publishes an image. If it has been published meanwhile, only the names are added. What is
   * returned from here on survives a crash.
   */
  async add(image: NewImage, names: ImageNames): Promise<void> {
    if (this.addNames(image.id, names)) return;
    const file = `${hexOf(image.id)}-${randomBytes(4).toString("hex")}${FILE_SUFFIX}`;
    const path = join(this.#directory, file);
    const { size } = await stat(image.path);
    if (image.kernelPath !== undefined) await rename(image.kernelPath, kernelOf(path));
    await rename(image.path, path);
    await syncDirectory(this.#directory);
    const added = this.#database.transaction(() => {
      const changes = this.#database.run(
        "INSERT INTO images (id, file, size, config, pulled_at) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
        [image.id, file, size, JSON.stringify(image.config), Date.now()],
      );
      this.addNames(image.id, names);
      return changes > 0;
    });
    if (!added) await removeFiles(path);
  }

  /** Lets names lead to an image; false when it is not here. */
  addNames(id: string, { tag, digest }: ImageNames): boolean {
    return this.#database.transaction(() => {
      if (this.get(id) === undefined) return false;
      if (tag !== undefined) this.#setReference(tag, "tag", id);
      this.#setReference(digest, "digest", id);
      return true;
    });
  }

  get(id: string): Image | undefined {
    const row = this.#database.get(imageRow, "SELECT * FROM images WHERE id = ?", [id]);
    return row === undefined ? undefined : this.#toImage(row);
  }

  /** The image that a full name with a tag or digest leads to. */
  getByName(name: string): Image | undefined {
    const sql = "SELECT image FROM image_references WHERE name = ?";
    const row = this.#database.get(imageOfReference, sql, [name]);
    return row === undefined ? undefined : this.get(row.image);
  }

  /** The one image whose id starts so. */
  getByIdPrefix(prefix: string): Image | undefined {
    const sql = "SELECT * FROM images WHERE substr(id, 1, length(?)) = ? LIMIT 2";
    const rows = this.#database.all(imageRow, sql, [prefix, prefix]);
    const [row] = rows;
    return row === undefined || rows.length > 1 ? undefined : this.#toImage(row);
  }

  /** Sorted by id. */
  list(): Image[] {
    const rows = this.#database.all(imageRow, "SELECT * FROM images ORDER BY id");
    return rows.map((row) => this.#toImage(row));
  }

  removeName(name: string): void {
    this.#database.run("DELETE FROM image_references WHERE name = ?", [name]);
  }

  /** Removes an image with all its names. */
  async remove({ id, erofsPath }: Image): Promise<void> {
    this.#database.run("DELETE FROM images WHERE id = ? AND file = ?", [id, basename(erofsPath)]);
    await removeFiles(erofsPath);
  }

  /** What the images' directory takes of its disk, work under way included. */
  async fsInfo(): Promise<ImageFsInfo> {
    const usage = await measure(this.#directory);
    return { timestamp: Date.now(), mountpoint: this.#directory, ...usage };
  }

  /** Free bytes of the store's disk. */
  async freeBytes(): Promise<number> {
    const { bavail, bsize } = await statfs(this.#directory);
    return bavail * bsize;
  }

  #setReference(name: string, kind: "tag" | "digest", id: string): void {
    this.#database.run(
      "INSERT INTO image_references (name, kind, image) VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET image = excluded.image",
      [name, kind, id],
    );
  }

  #toImage(row: z.output<typeof imageRow>): Image {
    const references = this.#database.all(
      referenceRow,
      "SELECT name, kind FROM image_references WHERE image = ? ORDER BY name",
      [row.id],
    );
    const erofsPath = join(this.#directory, row.file);
    const config = parseConfig(row.config, row.id);
    const names = (wanted: string) =>
      references.filter(({ kind }) => kind === wanted).map(({ name }) => name);
    return {
      id: row.id,
      repoTags: names("tag"),
      repoDigests: names("digest"),
      size: row.size,
      erofsPath,
      kernelPath: unikernelOf(config.labels) && kernelOf(erofsPath),
      config,
      pulledAt: row.pulled_at,
    };
  }

  async #reconcile(logger: Logger): Promise<void> {
    const rows = this.#database.all(imageRow, "SELECT * FROM images");
    for (const { id, file, size } of rows) {
      if ((await sizeOf(join(this.#directory, file))) === size) continue;
      logger.error({ image: id, file }, "image's file is missing or damaged; image dropped");
      this.#database.run("DELETE FROM images WHERE id = ?", [id]);
    }
    const wanted = new Set(
      this.#database.all(imageRow, "SELECT * FROM images").map(({ file }) => file),
    );
    for (const file of await readdir(this.#directory)) {
      if (!/\.(erofs|kernel)$/.test(file)) continue;
      if (wanted.has(file.replace(/\.kernel$/, FILE_SUFFIX))) continue;
      logger.info({ file }, "image file without a record removed");
      await rm(join(this.#directory, file));
    }
  }
}

function parseConfig(text: string, id: string): ImageConfig {
  try {
    return imageConfigSchema.parse(JSON.parse(text));
  } catch (error) {
    const message = `the record of image ${id} is damaged; remove and pull the image again`;
    throw new LightvmError("data-loss", message, { cause: error });
  }
}

/** Both files of an image have one name. */
function kernelOf(erofsPath: string): string {
  return `${erofsPath.slice(0, -FILE_SUFFIX.length)}${KERNEL_SUFFIX}`;
}

async function removeFiles(erofsPath: string): Promise<void> {
  await rm(kernelOf(erofsPath), { force: true });
  await rm(erofsPath, { force: true });
}

function hexOf(id: string): string {
  return id.slice(id.indexOf(":") + 1);
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path);
  await directory.sync();
}

async function measure(path: string): Promise<{ usedBytes: number; usedInodes: number }> {
  const total = { usedBytes: 0, usedInodes: 0 };
  for (const entry of await readdir(path, { recursive: true, withFileTypes: true })) {
    try {
      const { blocks } = await stat(join(entry.parentPath, entry.name));
      total.usedBytes += blocks * 512;
      total.usedInodes += 1;
    } catch (error) {
      // A pull that ended meanwhile took its files away.
      if (!isMissing(error)) throw error;
    }
  }
  return total;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === "ENOENT";
}
