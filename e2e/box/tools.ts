// SPDX-License-Identifier: Apache-2.0
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { buildRoot } from "../../native/build/build-root.ts";
import { cached } from "../../native/build/cache.ts";
import { type DebianRelease, runInDebian } from "../../native/build/debian-folder.ts";
import { run } from "../../native/build/run.ts";
import { makePortable, portableCommand } from "./portable.ts";

/** Programs in Go, how each is built; versions and sums are in go/go.mod and go/go.sum. */
const GO_PROGRAMS = {
  crictl: "build sigs.k8s.io/cri-tools/cmd/crictl",
  critest: "test -c sigs.k8s.io/cri-tools/cmd/critest",
  /** What critest runs its specs side by side with. */
  ginkgo: "build github.com/onsi/ginkgo/v2/ginkgo",
} as const;

/** A program that a box can have beside Node. */
export type GoProgram = keyof typeof GO_PROGRAMS;

/** Strips debug information and gives crictl its version, as its own Makefile does. */
const LINK = "-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version=$version";

const repository = resolve(import.meta.dirname, "../..");
const moduleFolder = join(import.meta.dirname, "go");

/** Builds a Go program in the build root; Go fetches the toolchain that the module asks for. */
async function goProgram(name: GoProgram): Promise<string> {
  const root = await buildRoot();
  const files = await Promise.all(
    ["go.mod", "go.sum"].map((file) => readFile(join(moduleFolder, file), "utf8")),
  );
  const [verb, ...rest] = GO_PROGRAMS[name].split(" ");
  const words = [...rest.slice(0, -1), "-trimpath", `-ldflags="${LINK}"`, "-o", `/out/${name}`];
  const build = ["go", verb, ...words, rest.at(-1)].join(" ");
  const directory = await cached(name, [build, ...files], async (scratch) => {
    const version = "version=$(go list -m -f '{{.Version}}' sigs.k8s.io/cri-tools)";
    await runInDebian(root, ["cd /module", version, build].join("\n"), {
      binds: [
        { host: scratch, inside: "/out" },
        { host: moduleFolder, inside: "/module", readOnly: true },
      ],
      env: { GOTOOLCHAIN: "auto", CGO_ENABLED: "0" },
    });
  });
  return join(directory, name);
}

/** Where the tools disk is mounted (dom0/init). */
const MOUNT_POINT = "/usr/lib/box/tools";

/**
 * Debian 12's mkfs.erofs cannot read tars. Puts Debian 13's into the disk, with the C library and
 * all else that it was built for.
 */
async function addErofsTools(tree: string): Promise<void> {
  await makePortable(await buildRoot(), "/usr/bin/mkfs.erofs", join(tree, "erofs"));
  const command = portableCommand(`${MOUNT_POINT}/erofs`, "mkfs.erofs").join(" ");
  const wrapper = `#!/bin/sh\nexec ${command} "$@"\n`;
  await writeFile(join(tree, "bin/mkfs.erofs"), wrapper, { mode: 0o755 });
}

/**
 * An EROFS image with the programs that a dom0 needs beside the project: Node, crictl, and what its
 * own release has too old.
 */
export async function toolsDisk(
  release: DebianRelease,
  programs: readonly GoProgram[] = ["crictl"],
): Promise<string> {
  const files = [join(repository, "node_modules/node/bin/node")];
  for (const program of programs) files.push(await goProgram(program));
  const nodePackage = await readFile(join(repository, "node_modules/node/package.json"));
  const inputs = [nodePackage, ...files.slice(1), release, addErofsTools.toString()];
  const directory = await cached("box-tools", inputs, async (scratch) => {
    const bin = join(scratch, "tree/bin");
    await mkdir(bin, { recursive: true });
    for (const file of files) await copyFile(file, join(bin, basename(file)));
    if (release === "bookworm") await addErofsTools(join(scratch, "tree"));
    await run(["mkfs.erofs", "-T0", join(scratch, "tools.erofs"), join(scratch, "tree")]);
    await rm(join(scratch, "tree"), { recursive: true });
  });
  return join(directory, "tools.erofs");
}
