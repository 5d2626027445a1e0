// SPDX-License-Identifier: Apache-2.0
import { type FileHandle, open } from "node:fs/promises";
import { LightvmError } from "../../shared/errors.ts";
import { throwIfCancelled } from "../../shared/wait.ts";
import { paddingOf } from "../tar/tar-entry.ts";
import { readFully, readTar } from "../tar/tar-reader.ts";
import { encodeEntry, TAR_END } from "../tar/tar-writer.ts";
import { Directory, FileTree, type Inode, type Leaf } from "./file-tree.ts";

const CHUNK_BYTES = 256 * 1024;

/** All layers of an image as one file system. Owns the opened layer files. */
export interface FlattenedImage extends AsyncDisposable {
  /** Bytes of all contents, of replaced files too: an upper bound of what packing needs. */
  readonly contentBytes: number;
  /** The merged archive: each directory before what is in it, names in byte order. */
  tar(signal?: AbortSignal): AsyncGenerator<Uint8Array>;
  /** The content of one regular file. Throws "data-loss" when there is none of that name. */
  file(path: string): AsyncGenerator<Uint8Array>;
}

/**
 * Merges unpacked layers (plain tars, bottom first). Memory is taken for names and metadata only;
 * contents are read again from the layer files. Throws as FileTree and readTar do.
 */
export async function flatten(
  layerPaths: readonly string[],
  signal?: AbortSignal,
): Promise<FlattenedImage> {
  await using opened = new AsyncDisposableStack();
  const files: FileHandle[] = [];
  const tree = new FileTree();
  for (const [layer, path] of layerPaths.entries()) {
    const file = opened.use(await open(path));
    files.push(file);
    const { size } = await file.stat();
    for await (const entry of readTar(file, size, `layer ${layer + 1}`)) {
      throwIfCancelled(signal, "flattening the image");
      tree.apply(entry, layer);
    }
  }
  const owned = opened.move();
  return {
    contentBytes: tree.contentBytes,
    tar: (tarSignal) => writeTree(tree, files, tarSignal),
    file: (path) => oneFile(tree, files, path),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function* writeTree(
  tree: FileTree,
  files: readonly FileHandle[],
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  /** First name of each inode that has several. */
  const written = new Map<Inode, string>();
  for (const { path, node } of walk(tree.root)) {
    throwIfCancelled(signal, "packing the image");
    const { inode } = node;
    const first = inode.shared ? written.get(inode) : undefined;
    if (first !== undefined) {
      yield encodeEntry({ ...inode, type: "link", path, linkPath: first, size: 0 });
      continue;
    }
    if (inode.shared) written.set(inode, path);
    yield encodeEntry({ ...inode, path });
    if (inode.size > 0) {
      yield* content(inode, files);
      const padding = paddingOf(inode.size);
      if (padding > 0) yield Buffer.alloc(padding);
    }
  }
  yield TAR_END;
}

async function* oneFile(
  tree: FileTree,
  files: readonly FileHandle[],
  path: string,
): AsyncGenerator<Uint8Array> {
  // Names in the tree have one byte a character.
  const inode = tree.file(Buffer.from(path).toString("latin1"));
  if (inode === undefined) {
    throw new LightvmError("data-loss", `the image has no file ${JSON.stringify(path)}`);
  }
  yield* content(inode, files);
}

/** Every name once, without recursion: depth is the image author's choice. */
function* walk(root: Directory): Generator<{ path: string; node: Directory | Leaf }> {
  const pending: { path: string; node: Directory | Leaf }[] = [{ path: "./", node: root }];
  for (let item = pending.pop(); item !== undefined; item = pending.pop()) {
    yield item;
    const { node, path } = item;
    if (!(node instanceof Directory)) continue;
    const prefix = node === root ? "" : path;
    const names = [...node.children.keys()].sort().reverse();
    for (const name of names) {
      const child = node.children.get(name);
      if (child === undefined) continue;
      const slash = child instanceof Directory ? "/" : "";
      pending.push({ path: `${prefix}${name}${slash}`, node: child });
    }
  }
}

async function* content(inode: Inode, files: readonly FileHandle[]): AsyncGenerator<Uint8Array> {
  const file = files[inode.layer];
  if (file === undefined) throw new LightvmError("internal", "a file's layer is not there");
  for (let done = 0; done < inode.size; ) {
    const length = Math.min(CHUNK_BYTES, inode.size - done);
    yield await readFully(file, inode.offset + done, length);
    done += length;
  }
}
