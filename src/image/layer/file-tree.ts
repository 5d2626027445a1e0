// SPDX-License-Identifier: Apache-2.0

/**
 * The merged file system of an image's layers, names and metadata only: contents stay in the
 * unpacked layer files. Rules: OCI image specification 1.1, "Image Layer Filesystem Changeset";
 * where it is silent, containerd's behaviour. All names come from strangers: whatever leads out of
 * the root, or could mean different things to different readers, is refused.
 */
import { LightvmError } from "../../shared/errors.ts";
import type { Attributes, TarEntry, TarEntryType } from "../tar/tar-entry.ts";
import { NO_ATTRIBUTES } from "../tar/tar-entry.ts";
import { checkedAttributes } from "./attributes.ts";

/** A file of any type, under one name or several. */
export interface Inode {
  readonly type: Exclude<TarEntryType, "link">;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: number;
  readonly mtimeNanoseconds: number;
  readonly attributes: Attributes;
  /** Target of a symlink, else "". */
  readonly linkPath: string;
  readonly size: number;
  /** Which layer file holds the content, and where. */
  readonly layer: number;
  readonly offset: number;
  readonly major: number;
  readonly minor: number;
  /** Whether it ever had a second name. */
  shared: boolean;
}

/** A name of something that is no directory. */
export class Leaf {
  readonly inode: Inode;
  /** The last layer that wrote it. */
  readonly layer: number;

  constructor(inode: Inode, layer: number) {
    this.inode = inode;
    this.layer = layer;
  }
}

export class Directory {
  inode: Inode;
  layer: number;
  readonly parent: Directory | undefined;
  readonly children = new Map<string, Directory | Leaf>();
  /** Of the path from the root to here. */
  readonly pathLength: number;
  /** The layer that last took everything of lower layers out of here. */
  clearedBy = -1;

  constructor(inode: Inode, layer: number, parent: Directory | undefined, pathLength: number) {
    this.inode = inode;
    this.layer = layer;
    this.parent = parent;
    this.pathLength = pathLength;
  }
}

const WHITEOUT_PREFIX = ".wh.";
const OPAQUE_MARK = ".wh..wh..opq";
/** What AUFS keeps for itself; it never was part of an image. */
const WHITEOUT_RESERVED_PREFIX = ".wh..wh.";
/** Linux: NAME_MAX, PATH_MAX without its zero, and the symlinks that one lookup may follow. */
const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 4095;
const MAX_SYMLINKS = 40;
/** mkfs.erofs 1.8 counts the bytes of a file that it copies in 32 bits. */
const MAX_FILE_BYTES = 0xffff_ffff;
/** About what a name costs here beside its own bytes. */
const ENTRY_COST = 250;
/** Memory that the tree of one image may take, by that reckoning. */
const MAX_COST = 512 * 1024 * 1024;

const IMPLICIT_DIRECTORY: Inode = {
  type: "directory",
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: 0,
  mtimeNanoseconds: 0,
  attributes: NO_ATTRIBUTES,
  linkPath: "",
  size: 0,
  layer: 0,
  offset: 0,
  major: 0,
  minor: 0,
  shared: false,
};

/** Where an entry goes: undefined name = the root itself. */
interface Place {
  readonly parents: readonly string[];
  readonly name: string | undefined;
}

export class FileTree {
  readonly root = new Directory(IMPLICIT_DIRECTORY, -1, undefined, 0);
  #cost = 0;
  /** Bytes of all files that were added. */
  contentBytes = 0;

  /**
   * Applies the next entry of layer number `layer`. Layers come in order, bottom first. Throws
   * "data-loss" (an entry that no honest layer has), "unimplemented", "resource-exhausted".
   */
  apply(entry: TarEntry, layer: number): void {
    const place = placeOf(entry.path);
    if (place.name === undefined) this.#setRoot(entry, layer);
    else if (place.name.startsWith(WHITEOUT_PREFIX)) this.#applyWhiteout(place, entry, layer);
    else this.#put(entry, place.parents, place.name, layer);
  }

  /** The regular file at a path; undefined when there is none. Its own name is not followed. */
  file(path: string): Inode | undefined {
    const { parents, name } = placeOf(path);
    if (name === undefined) return undefined;
    const node = this.#directory(parents, path, undefined)?.children.get(name);
    return node instanceof Leaf && node.inode.type === "file" ? node.inode : undefined;
  }

  #put(entry: TarEntry, parents: readonly string[], name: string, layer: number): void {
    this.#charge(entry);
    // Looked up before a file that stands at the new name goes.
    const linked = entry.type === "link" ? this.#linkTarget(entry) : undefined;
    const parent = this.#directory(parents, entry.path, layer);
    if (parent === undefined) throw new LightvmError("internal", "a directory was not made");
    if (parent.pathLength + name.length + 1 > MAX_PATH_BYTES) {
      throw refused(entry.path, "the path is too long");
    }
    const existing = parent.children.get(name);
    if (entry.type === "directory") {
      const inode = toInode(entry, "directory", layer);
      if (existing instanceof Directory) {
        existing.inode = inode;
        existing.layer = layer;
      } else {
        parent.children.set(name, makeDirectory(inode, layer, parent, name));
      }
      return;
    }
    parent.children.set(name, this.#leaf(entry, linked, layer));
  }

  #leaf(entry: TarEntry, linked: Inode | undefined, layer: number): Leaf {
    if (linked !== undefined) {
      linked.shared = true;
      return new Leaf(linked, layer);
    }
    if (entry.type === "link") throw new LightvmError("internal", "a link without its target");
    if (entry.size > MAX_FILE_BYTES) {
      throw new LightvmError(
        "unimplemented",
        `file ${quoted(entry.path)} has ${entry.size} bytes; 4 GiB is the limit of this release`,
      );
    }
    this.contentBytes += entry.size;
    return new Leaf(toInode(entry, entry.type, layer), layer);
  }

  #setRoot(entry: TarEntry, layer: number): void {
    if (entry.type !== "directory") throw refused(entry.path, "the root must be a directory");
    this.root.inode = toInode(entry, "directory", layer);
    this.root.layer = layer;
  }

  #applyWhiteout(place: Place, entry: TarEntry, layer: number): void {
    const name = place.name ?? "";
    if (name !== OPAQUE_MARK && name.startsWith(WHITEOUT_RESERVED_PREFIX)) return;
    const parent = this.#directory(place.parents, entry.path, undefined);
    if (parent === undefined) return;
    if (name === OPAQUE_MARK) {
      clearLower(parent, layer);
      return;
    }
    const hidden = name.slice(WHITEOUT_PREFIX.length);
    if (hidden === "" || hidden === "." || hidden === "..") {
      throw refused(entry.path, "it removes no name");
    }
    const node = parent.children.get(hidden);
    if (node !== undefined && !survives(node, layer)) parent.children.delete(hidden);
  }

  #linkTarget(entry: TarEntry): Inode {
    const { parents, name } = placeOf(entry.linkPath);
    const directory = this.#directory(parents, entry.path, undefined);
    const target = name === undefined ? this.root : directory?.children.get(name);
    if (target === undefined) {
      throw refused(entry.path, `it links to ${quoted(entry.linkPath)}, which is not there`);
    }
    if (target instanceof Directory) throw refused(entry.path, "it links to a directory");
    return target.inode;
  }

  /**
   * Walks to a directory, through symlinks of the image as the kernel would inside the root. What
   * is missing is made for `createdBy`, or the answer is undefined.
   */
  #directory(
    path: readonly string[],
    entryPath: string,
    createdBy: number | undefined,
  ): Directory | undefined {
    let current = this.root;
    let symlinks = 0;
    const pending = path.toReversed();
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      if (name === "..") {
        current = current.parent ?? current;
        continue;
      }
      const node = current.children.get(name);
      if (node instanceof Directory) {
        current = node;
      } else if (node === undefined) {
        if (createdBy === undefined) return undefined;
        current = this.#makeImplicit(current, name, entryPath, createdBy);
      } else if (node.inode.type === "symlink") {
        symlinks += 1;
        if (symlinks > MAX_SYMLINKS) throw refused(entryPath, "too many symlinks are on its way");
        if (node.inode.linkPath.startsWith("/")) current = this.root;
        pending.push(...components(node.inode.linkPath).reverse());
      } else {
        throw refused(entryPath, "a file is on its way");
      }
    }
    return current;
  }

  #makeImplicit(parent: Directory, name: string, entryPath: string, layer: number): Directory {
    // A symlink's text comes here unchecked.
    checkName(name, entryPath);
    if (parent.pathLength + name.length + 1 > MAX_PATH_BYTES) {
      throw refused(entryPath, "the path is too long");
    }
    this.#spend(ENTRY_COST + name.length);
    const made = makeDirectory(IMPLICIT_DIRECTORY, layer, parent, name);
    parent.children.set(name, made);
    return made;
  }

  #charge(entry: TarEntry): void {
    let cost = ENTRY_COST + entry.path.length + entry.linkPath.length;
    for (const [name, value] of entry.attributes) cost += name.length + value.length + 100;
    this.#spend(cost);
  }

  #spend(cost: number): void {
    this.#cost += cost;
    if (this.#cost <= MAX_COST) return;
    throw new LightvmError("resource-exhausted", "the image has too many files for this node");
  }
}

function makeDirectory(inode: Inode, layer: number, parent: Directory, name: string): Directory {
  return new Directory(inode, layer, parent, parent.pathLength + name.length + 1);
}

/** Takes everything of lower layers out of a directory; what this layer brought stays. */
function clearLower(directory: Directory, layer: number): void {
  // Lower layers are complete: what is cleared once stays clear, and asking twice costs nothing.
  if (directory.clearedBy === layer) return;
  directory.clearedBy = layer;
  for (const [name, node] of directory.children) {
    if (!survives(node, layer)) directory.children.delete(name);
  }
}

/** Whether a node is, or holds, anything of this layer; what it holds of lower ones is taken out. */
function survives(node: Directory | Leaf, layer: number): boolean {
  if (node instanceof Directory) {
    clearLower(node, layer);
    return node.layer === layer || node.children.size > 0;
  }
  return node.layer === layer;
}

function placeOf(path: string): Place {
  if (path.includes("\0")) throw refused(path, "a zero byte is in the path");
  if (path === "") throw refused(path, "the path is empty");
  if (path.length > MAX_PATH_BYTES) throw refused(path, "the path is too long");
  // An absolute path is meant from the image's root, as every tar reads it.
  const parts = components(path);
  for (const part of parts) {
    if (part === "..") throw refused(path, "the path leads upwards");
    checkName(part, path);
  }
  return { parents: parts.slice(0, -1), name: parts.at(-1) };
}

function components(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

function checkName(name: string, path: string): void {
  if (name.length > MAX_NAME_BYTES) throw refused(path, "a name in the path is too long");
}

function toInode(entry: TarEntry, type: Inode["type"], layer: number): Inode {
  const { mode, uid, gid, mtime, mtimeNanoseconds, linkPath, size, offset, major, minor } = entry;
  if (type === "symlink") checkSymlink(entry);
  const attributes = checkedAttributes(entry.attributes, quoted(entry.path));
  const times = { mtime, mtimeNanoseconds };
  const place = { linkPath, size, layer, offset, major, minor };
  return { type, mode, uid, gid, ...times, attributes, ...place, shared: false };
}

/** A symlink may say anything that the kernel could have stored; it is followed in the guest only. */
function checkSymlink({ path, linkPath }: TarEntry): void {
  if (linkPath === "") throw refused(path, "the symlink is empty");
  if (linkPath.includes("\0")) throw refused(path, "a zero byte is in the symlink");
  if (linkPath.length > MAX_PATH_BYTES) throw refused(path, "the symlink is too long");
}

function refused(path: string, why: string): LightvmError {
  return new LightvmError("data-loss", `entry ${quoted(path)} of a layer is refused: ${why}`);
}

/** A name for a message: its bytes as UTF-8 where they are, controls escaped, not too long. */
function quoted(path: string): string {
  const shown = path.length > 200 ? `${path.slice(0, 200)}...` : path;
  return JSON.stringify(Buffer.from(shown, "latin1").toString("utf8"));
}
