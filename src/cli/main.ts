#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import { DEFAULT_CONFIG_PATH, loadConfig } from "../shared/config.ts";
import { describeError, LightvmError } from "../shared/errors.ts";
import { loadAddon } from "../shared/native-addon.ts";
import { nodePaths } from "../shared/paths.ts";
import { VERSION } from "../shared/version.ts";
import { NativeHypervisor } from "../toolstack/native-hypervisor.ts";
import { diagnose, formatReport, thisHost } from "./doctor/doctor.ts";
import { formatPods, listPods } from "./ps.ts";
import { type PackOptions, packUnikernel } from "./unikernel-pack.ts";

interface CommonOptions {
  readonly config?: string;
  readonly json?: boolean;
}

async function doctor({ config, json }: CommonOptions): Promise<void> {
  const report = await diagnose(thisHost(loadConfig(config)));
  console.log(json ? JSON.stringify(report, undefined, 2) : formatReport(report));
  process.exitCode = report.some(({ verdict }) => verdict === "fail") ? 1 : 0;
}

function ps({ config, json }: CommonOptions): void {
  const paths = nodePaths(loadConfig(config));
  const pods = listPods(paths, new NativeHypervisor(loadAddon(paths.addon)));
  console.log(json ? JSON.stringify(pods, undefined, 2) : formatPods(pods));
}

/** The box belongs to the repository, not to an installed node. */
async function box(words: readonly string[]): Promise<void> {
  const program = resolve(import.meta.dirname, "../../e2e/box/main.ts");
  if (!existsSync(program)) {
    throw new LightvmError("failed-precondition", "the box exists only in a repository checkout");
  }
  const child = spawn(process.execPath, [program, ...words], { stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  process.exitCode = code ?? 1;
}

function program(): Command {
  const lightvm = new Command("lightvm").description("Pods in Xen VMs as light as containers");
  const configured = (command: Command) =>
    command
      .option("--config <path>", `configuration of this node (default: ${DEFAULT_CONFIG_PATH})`)
      .option("--json", "print JSON");
  lightvm
    .command("version")
    .description("print the version")
    .action(() => console.log(VERSION));
  configured(lightvm.command("doctor"))
    .description("say whether this host can run pods, and what is missing")
    .action(doctor);
  configured(lightvm.command("ps"))
    .description("list the pods of this host with their domains")
    .action(ps);
  lightvm
    .command("unikernel")
    .description("images of unikernels")
    .command("pack <kernel>")
    .description("make an OCI image of an ELF file with a PVH entry point")
    .requiredOption("-o, --output <file>", "OCI layout (tar) that is written")
    .option(
      "--cmdline <text>",
      "its command line; {address}, {gateway} and {hostname} are the pod's",
      "",
    )
    .option("--memory <size>", "RAM that it needs, for example 8Mi (default: what it takes)")
    .option("--sign-of-life <kind>", "sysctl: it speaks noxs; none: it does not", "sysctl")
    .option("--network <kind>", "virtio: it gets a network card; none: it needs none", "virtio")
    .action((kernel: string, options: PackOptions) => console.log(packUnikernel(kernel, options)));
  lightvm
    .command("box [words...]")
    .description("up, exec, down: a real Xen in QEMU (in a repository checkout)")
    .allowUnknownOption()
    .helpOption(false)
    .action(box);
  return lightvm;
}

try {
  await program().parseAsync();
} catch (error) {
  console.error(`lightvm: ${describeError(error)}`);
  process.exitCode = 1;
}
