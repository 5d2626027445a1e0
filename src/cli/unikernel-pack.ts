// SPDX-License-Identifier: Apache-2.0
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { endOfKernel } from "../image/pvh.ts";
import {
  isCommandLine,
  parseMemory,
  type SignOfLife,
  type UnikernelNetwork,
} from "../image/unikernel.ts";
import { ociLayout, unikernelImage } from "../image/unikernel-image.ts";
import { LightvmError } from "../shared/errors.ts";

const MIB = 1024 * 1024;
/** noxs pages, console and stack of the boot, behind the kernel; see native/xen's layout. */
const BEHIND_THE_KERNEL = 256 * 1024;

export interface PackOptions {
  readonly cmdline: string;
  /** "8Mi"; what the kernel takes, in whole MiB, when it is not said. */
  readonly memory?: string;
  readonly signOfLife: string;
  readonly network: string;
  /** File that is written. */
  readonly output: string;
}

/** `lightvm unikernel pack`: makes an OCI image of a kernel. Returns a line about it. */
export function packUnikernel(path: string, options: PackOptions): string {
  const kernel = read(path);
  const end = endOfKernel(kernel);
  const { cmdline, output } = options;
  if (!isCommandLine(cmdline)) {
    throw invalid("the command line is longer than 2047 bytes or not printable ASCII");
  }
  const name = basename(path);
  if (!/^[\w.-]+$/.test(name))
    throw invalid(`"${name}" cannot be the name of a kernel in an image`);
  const image = unikernelImage(kernel, {
    kernel: `/${name}`,
    commandLine: cmdline,
    memoryBytes: memoryBytes(options.memory, end),
    signOfLife: signOfLife(options.signOfLife),
    network: network(options.network),
  });
  const layout = ociLayout(image, `${name}:latest`);
  writeFileSync(output, layout);
  return `${output}: ${image.manifest.digest}, ${layout.length} bytes`;
}

function memoryBytes(text: string | undefined, end: number): number {
  if (text === undefined)
    return Math.max(2 * MIB, Math.ceil((end + BEHIND_THE_KERNEL) / MIB) * MIB);
  const bytes = parseMemory(text);
  if (bytes === undefined || bytes % 4096 !== 0) {
    throw invalid(`"${text}" is no memory size in whole pages; write it as 8Mi, for example`);
  }
  if (bytes >= end) return bytes;
  throw invalid(`${text} of memory does not hold the kernel, which ends at ${end}`);
}

function signOfLife(text: string): SignOfLife {
  if (text === "sysctl" || text === "none") return text;
  throw invalid(`a sign of life is "sysctl" or "none", not "${text}"`);
}

function network(text: string): UnikernelNetwork {
  if (text === "virtio" || text === "none") return text;
  throw invalid(`a network is "virtio" or "none", not "${text}"`);
}

function read(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new LightvmError("not-found", `cannot read the kernel ${path}`, { cause });
  }
}

function invalid(message: string): LightvmError {
  return new LightvmError("invalid-argument", message);
}
