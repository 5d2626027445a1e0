// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, it } from "vitest";
import { pvhKernel } from "../../test/harness/pvh-kernel.ts";
import { type PackOptions, packUnikernel } from "./unikernel-pack.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "lightvm-pack-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

function pack(kernel: Buffer, options: Partial<PackOptions>) {
  const path = join(directory, "noop");
  writeFileSync(path, kernel);
  const output = join(directory, "image.tar");
  packUnikernel(path, { cmdline: "", signOfLife: "sysctl", network: "virtio", output, ...options });
  const entry = (name: string) =>
    execFileSync("tar", ["-xOf", output, name], { maxBuffer: 2 ** 24 });
  const json = (name: string) => JSON.parse(entry(name).toString("utf8"));
  const blob = ({ digest }: { digest: string }) => `blobs/${digest.replace(":", "/")}`;
  const manifest = json(blob(json("index.json").manifests[0]));
  const layer = gunzipSync(entry(blob(manifest.layers[0])));
  return { manifest, config: json(blob(manifest.config)), layer, bytes: readFileSync(output) };
}

it("makes an OCI layout whose labels and annotations say what to boot", () => {
  const kernel = pvhKernel();
  const { manifest, config, layer } = pack(kernel, { cmdline: "ip={address}" });
  const labels = {
    "io.lightvm.unikernel.kernel": "/noop",
    "io.lightvm.unikernel.cmdline": "ip={address}",
    "io.lightvm.unikernel.memory": "2097152",
    "io.lightvm.unikernel.sign-of-life": "sysctl",
    "io.lightvm.unikernel.network": "virtio",
  };
  expect(config.config.Labels).toEqual(labels);
  expect(manifest.annotations).toEqual(labels);
  expect(layer.includes(kernel)).toBe(true);
});

it("makes the same image of the same kernel", () => {
  const once = pack(pvhKernel(), {}).bytes;
  expect(pack(pvhKernel(), {}).bytes.equals(once)).toBe(true);
});

it("asks for as much memory as the kernel takes", () => {
  expect(pack(pvhKernel({ end: 0x700000 }), {}).manifest.annotations).toMatchObject({
    "io.lightvm.unikernel.memory": String(8 << 20),
  });
});

it.each([
  ["no ELF", Buffer.from("#!/bin/sh\n"), {}, "not a 64-bit x86 ELF"],
  ["an ELF without PVH", pvhKernel({ noteType: 17 }), {}, "no PVH entry point"],
  [
    "too little memory",
    pvhKernel({ end: 0x700000 }),
    { memory: "4Mi" },
    "does not hold the kernel",
  ],
  ["no size", pvhKernel(), { memory: "lots" }, "is no memory size"],
  ["a line break", pvhKernel(), { cmdline: "a\nb" }, "not printable ASCII"],
  ["smoke", pvhKernel(), { signOfLife: "smoke" }, 'not "smoke"'],
  ["carrier pigeons", pvhKernel(), { network: "pigeons" }, 'not "pigeons"'],
])("refuses %s", (_what, kernel, options, message) => {
  expect(() => pack(kernel, options)).toThrow(message);
});
