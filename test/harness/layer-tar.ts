// SPDX-License-Identifier: Apache-2.0
import { BLOCK_BYTES, NO_ATTRIBUTES, paddingOf } from "../../src/image/tar/tar-entry.ts";
import { encodeEntry, TAR_END, type WritableEntry } from "../../src/image/tar/tar-writer.ts";

/** An entry of a test layer: what is not said is a root-owned file of 1970 without content. */
export interface LayerEntry extends Partial<Omit<WritableEntry, "size">> {
  readonly path: string;
  readonly content?: string | Uint8Array;
}

/** A layer as a plain tar. */
export function layerTar(entries: readonly LayerEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const { content = "", ...fields } of entries) {
    const bytes = Buffer.from(content);
    const directory = fields.path.endsWith("/");
    const entry: WritableEntry = {
      type: directory ? "directory" : "file",
      linkPath: "",
      mode: directory ? 0o755 : 0o644,
      uid: 0,
      gid: 0,
      mtime: 0,
      mtimeNanoseconds: 0,
      size: bytes.length,
      major: 0,
      minor: 0,
      attributes: NO_ATTRIBUTES,
      ...fields,
    };
    parts.push(encodeEntry(entry), bytes, Buffer.alloc(paddingOf(bytes.length)));
  }
  return Buffer.concat([...parts, TAR_END]);
}

/** Changes the last header before the content of the only entry, and sums it anew. */
export function withHeader(tar: Buffer, offset: number, bytes: string | Uint8Array): Buffer {
  const changed = Buffer.from(tar);
  // One entry is written as pax header, its records (one block), and the header itself.
  const block = changed.subarray(2 * BLOCK_BYTES, 3 * BLOCK_BYTES);
  block.set(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes, offset);
  block.fill(" ", 148, 156);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return changed;
}
