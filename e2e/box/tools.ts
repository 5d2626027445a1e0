// SPDX-License-Identifier: Apache-2.0
import { copyFile, mkdir, readFile, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { buildRoot } from "../../native/build/build-root.ts";
import { cached } from "../../native/build/cache.ts";
import { runInDebian } from "../../native/build/debian-folder.ts";
import { run } from "../../native/build/run.ts";

/** Programs in Go → the package that each is; versions and sums are in go/go.mod and go/go.sum. */
const GO_PROGRAMS = { crictl: "sigs.k8s.io/cri-tools/cmd/crictl" } as const;

/** Strips debug information and gives crictl its version, as its own Makefile does. */
const LINK = "-s -w -X sigs.k8s.io/cri-tools/pkg/version.Version=$version";

const repository = resolve(import.meta.dirname, "../..");
const moduleFolder = join(import.meta.dirname, "go");

/** Builds a Go program in the build root; Go fetches the toolchain that the module asks for. */
async function goProgram(name: keyof typeof GO_PROGRAMS): Promise<string> {
  const root = await buildRoot();
  const files = await Promise.all(
    ["go.mod", "go.sum"].map((file) => readFile(join(moduleFolder, file), "utf8")),
  );
  const directory = await cached(name, [GO_PROGRAMS[name], LINK, ...files], async (scratch) => {
    const script = [
      "cd /module",
      "version=$(go list -m -f '{{.Version}}' sigs.k8s.io/cri-tools)",
      `go build -trimpath -ldflags="${LINK}" -o /out/ ${GO_PROGRAMS[name]}`,
    ].join("\n");
    await runInDebian(root, script, {
      binds: [
        { host: scratch, inside: "/out" },
        { host: moduleFolder, inside: "/module", readOnly: true },
      ],
      env: { GOTOOLCHAIN: "auto", CGO_ENABLED: "0" },
    });
  });
  return join(directory, name);
}

/** An EROFS image with the programs that a dom0 needs beside the project: Node and crictl. */
export async function toolsDisk(): Promise<string> {
  const node = join(repository, "node_modules/node/bin/node");
  const nodePackage = await readFile(join(repository, "node_modules/node/package.json"));
  const crictl = await goProgram("crictl");
  const inputs = [nodePackage, crictl];
  const directory = await cached("box-tools", inputs, async (scratch) => {
    const bin = join(scratch, "tree/bin");
    await mkdir(bin, { recursive: true });
    await copyFile(node, join(bin, "node"));
    await copyFile(crictl, join(bin, "crictl"));
    await run(["mkfs.erofs", "-T0", join(scratch, "tools.erofs"), join(scratch, "tree")]);
    await rm(join(scratch, "tree"), { recursive: true });
  });
  return join(directory, "tools.erofs");
}
