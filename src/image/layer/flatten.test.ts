// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import fc from "fast-check";
import { pack } from "tar-stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type LayerEntry, layerTar, withHeader } from "../../../test/harness/layer-tar.ts";
import { encodePax } from "../tar/pax.ts";
import { BLOCK_BYTES, type TarEntry } from "../tar/tar-entry.ts";
import { readFully, readTar } from "../tar/tar-reader.ts";
import { flatten } from "./flatten.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lightvm-flatten-"));
});

afterEach(() => rmSync(directory, { recursive: true }));

async function flattenTars(tars: readonly Uint8Array[]): Promise<string> {
  const paths = tars.map((tar, index) => {
    const path = join(directory, `layer-${index}.tar`);
    writeFileSync(path, tar);
    return path;
  });
  await using image = await flatten(paths);
  const merged = join(directory, "merged.tar");
  const parts: Uint8Array[] = [];
  for await (const part of image.tar()) parts.push(part);
  writeFileSync(merged, Buffer.concat(parts));
  return merged;
}

async function entriesOf(path: string): Promise<(TarEntry & { content: string })[]> {
  await using file = await open(path);
  const { size } = await file.stat();
  const entries: (TarEntry & { content: string })[] = [];
  for await (const entry of readTar(file, size, "the result")) {
    const bytes = await readFully(file, entry.offset, entry.size);
    entries.push({ ...entry, content: bytes.toString("latin1") });
  }
  return entries;
}

/** The merged image in short: "path" → content, "-> target", "= first name", "dir", or the type. */
async function merge(...layers: (readonly LayerEntry[])[]): Promise<Record<string, string>> {
  const entries = await entriesOf(await flattenTars(layers.map(layerTar)));
  const short = ({ type, linkPath, content }: TarEntry & { content: string }) => {
    if (type === "file") return content;
    if (type === "symlink") return `-> ${linkPath}`;
    return type === "link" ? `= ${linkPath}` : type;
  };
  return Object.fromEntries(
    entries.filter(({ path }) => path !== "./").map((entry) => [entry.path, short(entry)]),
  );
}

const file = (path: string, content = path): LayerEntry => ({ path, content });
const link = (path: string, linkPath: string): LayerEntry => ({ path, type: "link", linkPath });
const symlink = (path: string, linkPath: string): LayerEntry => ({
  path,
  type: "symlink",
  linkPath,
});

describe("flatten", () => {
  it.each<[string, LayerEntry[][], Record<string, string>]>(
    [
      ["nothing", [], {}],
      ["a file", [[file("a")]], { a: "a" }],
      ["directories that no layer lists", [[file("x/y")]], { "x/": "directory", "x/y": "x/y" }],
      ["a newer file", [[file("a", "1")], [file("a", "2")]], { a: "2" }],
      ["a file named twice in a layer", [[file("a", "1"), file("a", "2")]], { a: "2" }],
      [
        "a directory listed again",
        [[file("d/a")], [{ path: "d/" }]],
        { "d/": "directory", "d/a": "d/a" },
      ],
      ["a file over a directory", [[file("d/a")], [file("d", "now")]], { d: "now" }],
      [
        "a directory over a file",
        [[file("d")], [{ path: "d/" }, file("d/a")]],
        { "d/": "directory", "d/a": "d/a" },
      ],
      ["a symlink over a directory", [[file("d/a")], [symlink("d", "/e")]], { d: "-> /e" }],
      ["a whiteout", [[file("a"), file("b")], [file(".wh.a", "")]], { b: "b" }],
      ["a whiteout of a directory", [[file("d/e/f"), file("b")], [file(".wh.d", "")]], { b: "b" }],
      ["a whiteout of nothing", [[file("b")], [file("no/.wh.a", "")]], { b: "b" }],
      [
        "a whiteout and a new file of one layer, in either order",
        [
          [file("a", "1"), file("b", "1")],
          [file("a", "2"), file(".wh.a", ""), file(".wh.b", ""), file("b", "2")],
        ],
        { a: "2", b: "2" },
      ],
      [
        "an opaque directory, the mark coming last",
        [
          [file("d/old"), file("d/sub/old")],
          [{ path: "d/" }, file("d/sub/new", "n"), file("d/.wh..wh..opq", "")],
        ],
        { "d/": "directory", "d/sub/": "directory", "d/sub/new": "n" },
      ],
      [
        "an opaque root",
        [
          [file("a"), file("d/b")],
          [file(".wh..wh..opq", ""), file("c")],
        ],
        { c: "c" },
      ],
      [
        "AUFS leftovers",
        [[file("a"), file(".wh..wh.plnk/5.6"), file(".wh..wh.aufs")]],
        null as never,
      ],
      ["a hard link", [[file("a"), link("b", "a")]], { a: "a", b: "= a" }],
      [
        "a hard link that sorts before its file",
        [[file("z"), link("./y", "/z")]],
        { y: "z", z: "= y" },
      ],
      [
        "a hard link to a lower layer",
        [[file("d/a", "1")], [link("b", "d/a")]],
        {
          b: "1",
          "d/": "directory",
          "d/a": "= b",
        },
      ],
      [
        "a hard link whose first name is replaced",
        [[file("a", "1"), link("b", "a")], [file("a", "2")]],
        { a: "2", b: "1" },
      ],
      [
        "a hard link whose first name is removed",
        [[file("a", "1"), link("b", "a")], [file(".wh.a", "")]],
        { b: "1" },
      ],
      ["a hard link to itself", [[file("a", "1"), link("a", "a")]], { a: "1" }],
      ["a hard link to a symlink", [[symlink("a", "x"), link("b", "a")]], { a: "-> x", b: "= a" }],
      ["an absolute name", [[file("/etc/a")]], { "etc/": "directory", "etc/a": "/etc/a" }],
      ["dots in a name", [[file("././a/./b", "1")]], { "a/": "directory", "a/b": "1" }],
      [
        "a name through a symlink",
        [[{ path: "usr/lib/" }, symlink("lib", "usr/lib")], [file("lib/a", "1")]],
        {
          lib: "-> usr/lib",
          "usr/": "directory",
          "usr/lib/": "directory",
          "usr/lib/a": "1",
        },
      ],
      [
        "a name through a symlink that leads out: it stays inside",
        [[symlink("up", "../../../tmp"), file("up/a", "1")]],
        { "tmp/": "directory", "tmp/a": "1", up: "-> ../../../tmp" },
      ],
      [
        "a name through an absolute symlink",
        [[symlink("up", "/tmp"), file("up/a", "1")]],
        { "tmp/": "directory", "tmp/a": "1", up: "-> /tmp" },
      ],
      [
        "a directory over a symlink to one",
        [
          [file("real/a", "1"), symlink("d", "real")],
          [{ path: "d/" }, file("d/b", "2")],
        ],
        { "d/": "directory", "d/b": "2", "real/": "directory", "real/a": "1" },
      ],
      [
        "a name that is not UTF-8",
        [[file("\xff\x01\n"), file("\xff".repeat(150), "1")]],
        { "\xff\x01\n": "\xc3\xbf\x01\n", ["\xff".repeat(150)]: "1" },
      ],
    ].filter(([, , wanted]) => wanted !== null) as never,
  )("merges %s", async (_, layers, wanted) => {
    expect(await merge(...layers)).toEqual(wanted);
  });

  it("leaves out what AUFS kept for itself", async () => {
    const layer = [file("a"), file(".wh..wh.aufs"), { path: ".wh..wh.plnk/" }];
    expect(await merge(layer)).toEqual({ a: "a" });
  });

  it("keeps all metadata", async () => {
    const capability = Uint8Array.from([1, 0, 0, 2, 0xff, 0x80, 10, 0, 61, 0, 0, 0]);
    const attributes = new Map([
      ["security.capability", capability],
      ["user.empty", new Uint8Array()],
    ]);
    const common = { uid: 4_000_000_000, gid: 70_000, mtime: 1_700_000_000, attributes };
    const wanted = [
      { path: "char", type: "character-device", major: 1, minor: 3, mode: 0o666 },
      { path: "disk", type: "block-device", major: 259, minor: 0xfffff, mode: 0o660 },
      { path: "dir/", type: "directory", mode: 0o1777, mtimeNanoseconds: 50_000_000 },
      { path: "fifo", type: "fifo", mode: 0o600 },
      { path: "old", type: "file", mode: 0o4755, mtime: -86_400 },
      { path: "sym", type: "symlink", linkPath: "x".repeat(300), mode: 0o777 },
    ].map((entry) => ({ ...common, ...entry }) as LayerEntry);
    const entries = await entriesOf(await flattenTars([layerTar(wanted)]));
    for (const entry of wanted) {
      const found = entries.find(({ path }) => path === entry.path);
      expect({ ...found, attributes: null }).toMatchObject({ ...entry, attributes: null });
      expect(found?.attributes.get("security.capability")).toEqual(Buffer.from(capability));
      expect(found?.attributes.get("user.empty")).toEqual(Buffer.alloc(0));
    }
  });

  it("leaves out attributes that the guest cannot hold or would take for its own", async () => {
    const names = ["com.apple.provenance", "trusted.overlay.opaque", "user.", "trusted.a"];
    const attributes = new Map(names.map((name) => [name, Buffer.from("1")]));
    const entries = await entriesOf(await flattenTars([layerTar([{ path: "a", attributes }])]));
    expect([...(entries[1]?.attributes.keys() ?? [])]).toEqual(["trusted.a"]);
  });

  it("takes the root's metadata from the last layer that has it", async () => {
    const tar = await flattenTars([layerTar([{ path: "./", mode: 0o700, uid: 7 }, file("a")])]);
    const [root] = await entriesOf(tar);
    expect(root).toMatchObject({ path: "./", type: "directory", mode: 0o700, uid: 7 });
  });

  it("reads what other programs write", async () => {
    const archive = pack();
    archive.entry({ name: `${"d".repeat(99)}/${"e".repeat(60)}`, uid: 5 }, "prefix");
    archive.entry({ name: "ü", pax: { "SCHILY.xattr.user.a": "b" } }, "pax");
    archive.finalize();
    writeFileSync(join(directory, "n".repeat(180)), "gnu");
    const arguments_ = ["--format=gnu", "-C", directory, "-cf", "-", "n".repeat(180)];
    const gnu = execFileSync("tar", arguments_);
    const entries = await entriesOf(await flattenTars([await buffer(archive), gnu]));
    const contents = new Map(entries.map((entry) => [entry.path, entry]));
    expect(contents.get("n".repeat(180))?.content).toBe("gnu");
    expect(contents.get(`${"d".repeat(99)}/${"e".repeat(60)}`)).toMatchObject({
      content: "prefix",
      uid: 5,
    });
    const umlaut = contents.get(Buffer.from("ü").toString("latin1"));
    expect(umlaut?.attributes.get("user.a")?.toString()).toBe("b");
  });

  it("writes what other programs read", async () => {
    const big = "x".repeat(600_000);
    const merged = await flattenTars([
      layerTar([file("d/big", big), link("hard", "d/big"), symlink("s", "t"), file("ü/a", "1")]),
    ]);
    const out = join(directory, "out");
    execFileSync("sh", ["-ec", 'mkdir "$1"; tar -C "$1" -xf "$2"', "sh", out, merged]);
    const listing = execFileSync("sh", [
      "-c",
      'cd "$1"; stat -c "%n %h %s" d/big hard s',
      "sh",
      out,
    ]);
    expect(listing.toString()).toBe("d/big 2 600000\nhard 2 600000\ns 1 1\n");
  });
});

describe("flatten refuses", () => {
  const long = "n".repeat(256);
  it.each<[string, readonly LayerEntry[]]>([
    ["leads upwards", [file("../a")]],
    ["leads upwards", [file("a/../../b")]],
    ["leads upwards", [link("a", "../../etc/shadow")]],
    ["zero byte is in the path", [file(`${"a".repeat(101)}\0b`)]],
    ["zero byte is in the symlink", [symlink("a", `${"a".repeat(101)}\0b`)]],
    ["name in the path is too long", [file(long)]],
    ["name in the path is too long", [symlink("s", long), file("s/a")]],
    ["the path is too long", [file("d/".repeat(2100))]],
    [
      "the path is too long",
      [{ path: "d/".repeat(2000) }, symlink("s", "d/".repeat(2000)), file(`s/${"e/".repeat(60)}f`)],
    ],
    ["the root must be a directory", [file("./.")]],
    ["a file is on its way", [file("a"), file("a/b")]],
    ["not there", [link("a", "b")]],
    ["not there", [link("a", "no/b")]],
    ["links to a directory", [{ path: "d/" }, link("a", "d")]],
    ["links to a directory", [link("a", "/")]],
    ["too many symlinks", [symlink("a", "b"), symlink("b", "a"), file("a/x")]],
    ["removes no name", [file(".wh.")]],
    ["removes no name", [file("d"), file(".wh...")]],
    ["the symlink is empty", [symlink("a", "")]],
    [
      "extended attribute",
      [{ path: "a", attributes: new Map([["user.a", Buffer.alloc(70_000)]]) }],
    ],
  ])("a layer: %s", async (message, layer) => {
    await expect(flattenTars([layerTar(layer)])).rejects.toMatchObject({
      code: "data-loss",
      message: expect.stringContaining(message),
    });
  });

  const one = layerTar([file("a", "content")]);
  const paxed = (records: Buffer) => {
    const tar = layerTar([file("a", "content")]);
    const body = Buffer.alloc(BLOCK_BYTES);
    records.copy(body);
    body.copy(tar, BLOCK_BYTES);
    // The first header is that of the pax records; only its size changes.
    const head = tar.subarray(0, BLOCK_BYTES);
    head.write(records.length.toString(8).padStart(11, "0"), 124, "latin1");
    head.fill(" ", 148, 156);
    const sum = head.reduce((total, byte) => total + byte, 0);
    head.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    return tar;
  };
  const text = (key: string, value: string) => encodePax([[key, Buffer.from(value)]]);
  it.each<[string, string, Uint8Array]>([
    ["noise", "data-loss", Buffer.alloc(2048, "noise")],
    ["half a block", "data-loss", one.subarray(0, 300)],
    ["a header without its content", "data-loss", one.subarray(0, 3 * BLOCK_BYTES)],
    ["a size beyond the end", "data-loss", withHeader(one, 124, "77777777777\0")],
    ["a size in base 256 beyond any", "data-loss", withHeader(one, 124, Buffer.alloc(12, 0x80))],
    ["a negative size", "data-loss", withHeader(one, 124, Buffer.alloc(12, 0xff))],
    ["a negative uid", "data-loss", withHeader(one, 108, Buffer.alloc(8, 0xff))],
    ["letters as a number", "data-loss", withHeader(one, 100, "twelve\0")],
    ["an unknown type", "unimplemented", withHeader(one, 156, "V")],
    ["a sparse file", "unimplemented", paxed(text("GNU.sparse.major", "1"))],
    ["damaged pax records", "data-loss", paxed(Buffer.from("99 path=a\n"))],
    ["a pax record without a length", "data-loss", paxed(Buffer.from("path=a\n"))],
    ["a pax size that is no number", "data-loss", paxed(text("size", "1e3"))],
    ["a pax size beyond the end", "data-loss", paxed(text("size", "9007199254740991"))],
    ["a pax size beyond all numbers", "data-loss", paxed(text("size", "99999999999999999"))],
    ["a pax uid beyond 32 bits", "data-loss", paxed(text("uid", "4294967296"))],
    ["a pax time that is none", "data-loss", paxed(text("mtime", "today"))],
  ])("an archive with %s", async (_, code, tar) => {
    await expect(flattenTars([tar])).rejects.toMatchObject({ code });
  });

  it("any damage with an error of ours", async () => {
    const good = layerTar([file("a", "content"), link("b", "a"), { path: "d/" }]);
    const damage = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1 });
    await fc.assert(
      fc.asyncProperty(damage, fc.nat(good.length), async (changes, length) => {
        const bad = Buffer.from(good.subarray(0, length));
        for (const [at, byte] of changes) if (at < length) bad[at] = byte;
        try {
          await flattenTars([bad]);
        } catch (error) {
          expect(error).toMatchObject({ name: "LightvmError" });
        }
      }),
      { numRuns: 300 },
    );
  });
});

/** The rules once more, by paths in a flat map: slow, and simple enough to be seen to be right. */
function model(layers: (readonly LayerEntry[])[]): Map<string, string> {
  let merged = new Map<string, string>();
  for (const layer of layers) {
    const hidden = (path: string) =>
      layer.some(({ path: mark }) => {
        const cut = mark.lastIndexOf("/") + 1;
        const [folder, name] = [mark.slice(0, cut), mark.slice(cut)];
        if (name === ".wh..wh..opq") return path.startsWith(folder) && path !== folder;
        if (!name.startsWith(".wh.")) return false;
        const target = `${folder}${name.slice(4)}`;
        return path === target || path.startsWith(`${target}/`);
      });
    merged = new Map([...merged].filter(([path]) => !hidden(path)));
    for (const { path, content } of layer) {
      if (path.includes(".wh.")) continue;
      const parts = path.split("/").slice(0, -1);
      for (let depth = 1; depth <= parts.length; depth += 1) {
        merged.set(`${parts.slice(0, depth).join("/")}/`, "directory");
      }
      if (!path.endsWith("/")) merged.set(path, String(content));
    }
  }
  return merged;
}

it("merges any layers as the rules say", async () => {
  // Names of directories and files differ, so that no layer replaces one by the other.
  const folder = fc
    .array(fc.constantFrom("d", "e"), { maxLength: 3 })
    .map((parts) => parts.map((part) => `${part}/`).join(""));
  const name = fc.constantFrom("f", "g", ".wh.f", ".wh.g", ".wh.d", ".wh.e", ".wh..wh..opq", "d/");
  const entry = fc
    .tuple(folder, name, fc.nat(9))
    .map(([parents, last, content]) =>
      file(`${parents}${last}`, last === "d/" ? "" : String(content)),
    );
  const layers = fc.array(fc.array(entry, { maxLength: 8 }), { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(layers, async (input) => {
      expect(await merge(...input)).toEqual(Object.fromEntries(model(input)));
    }),
    { numRuns: 300 },
  );
});
