// SPDX-License-Identifier: Apache-2.0
//
// A unikernel is an OCI image like any other that says in its labels (or in the annotations of its
// manifest) what is to be booted. `lightvm unikernel pack` writes them.
//
//   io.lightvm.unikernel.kernel         path of the kernel in the image: an ELF with a PVH entry point
//   io.lightvm.unikernel.cmdline        its command line; {address} (with prefix length), {gateway} (both IPv4)
//                                       and {hostname} stand for the pod's
//   io.lightvm.unikernel.memory         RAM that it needs at least: bytes, or a number with Ki, Mi or Gi
//   io.lightvm.unikernel.sign-of-life   "sysctl" (default): it has started once it says ALIVE over noxs;
//                                       "none": it knows nothing of noxs and has started when it runs
//   io.lightvm.unikernel.network        "virtio" (default): it has a network card; "none": it needs none
import { posix } from "node:path";
import { LightvmError } from "../shared/errors.ts";

/** What all labels of a unikernel begin with. */
export const UNIKERNEL_PREFIX = "io.lightvm.unikernel.";

export const UNIKERNEL_LABELS = {
  kernel: `${UNIKERNEL_PREFIX}kernel`,
  commandLine: `${UNIKERNEL_PREFIX}cmdline`,
  memory: `${UNIKERNEL_PREFIX}memory`,
  signOfLife: `${UNIKERNEL_PREFIX}sign-of-life`,
  network: `${UNIKERNEL_PREFIX}network`,
} as const;

/** How one learns that a unikernel has started. */
export type SignOfLife = "sysctl" | "none";

/** How a unikernel is in its pod's network, if it is. */
export type UnikernelNetwork = "virtio" | "none";

/** What an image says about the unikernel in it. */
export interface Unikernel {
  /** Absolute path in the image. */
  readonly kernel: string;
  /** With placeholders. */
  readonly commandLine: string;
  /** Bytes; 0 = not said. */
  readonly memoryBytes: number;
  readonly signOfLife: SignOfLife;
  readonly network: UnikernelNetwork;
}

/** The longest command line that a guest can be given, bytes. */
const MAX_COMMAND_LINE = 2047;
const UNITS: Readonly<Record<string, number>> = { "": 1, Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30 };
const MAX_MEMORY = 2 ** 40;

/** The unikernel in an image with these labels; undefined when there is none. Throws "data-loss". */
export function unikernelOf(labels: Readonly<Record<string, string>>): Unikernel | undefined {
  const kernel = labels[UNIKERNEL_LABELS.kernel];
  if (kernel === undefined) return undefined;
  if (kernel === "" || kernel.includes("\0")) throw malformed("kernel", kernel);
  const commandLine = labels[UNIKERNEL_LABELS.commandLine] ?? "";
  if (!isCommandLine(commandLine)) throw malformed("cmdline", commandLine);
  const memory = labels[UNIKERNEL_LABELS.memory] ?? "0";
  const memoryBytes = parseMemory(memory);
  if (memoryBytes === undefined) throw malformed("memory", memory);
  const signOfLife = labels[UNIKERNEL_LABELS.signOfLife] ?? "sysctl";
  if (signOfLife !== "sysctl" && signOfLife !== "none") throw malformed("sign-of-life", signOfLife);
  const network = labels[UNIKERNEL_LABELS.network] ?? "virtio";
  if (network !== "virtio" && network !== "none") throw malformed("network", network);
  return { kernel: posix.resolve("/", kernel), commandLine, memoryBytes, signOfLife, network };
}

/** Whether a guest can be given this line: printable ASCII, not too long. */
export function isCommandLine(text: string): boolean {
  return text.length <= MAX_COMMAND_LINE && /^[ -~]*$/.test(text);
}

/** "8Mi" → bytes; undefined for what is no size. */
export function parseMemory(text: string): number | undefined {
  const [, digits, unit] = /^(\d{1,13})(|Ki|Mi|Gi)$/.exec(text) ?? [];
  if (digits === undefined || unit === undefined) return undefined;
  const bytes = Number(digits) * (UNITS[unit] ?? 1);
  return bytes <= MAX_MEMORY ? bytes : undefined;
}

function malformed(name: string, value: string): LightvmError {
  const shown = JSON.stringify(value.slice(0, 100));
  return new LightvmError("data-loss", `the image's label ${UNIKERNEL_PREFIX}${name} is ${shown}`);
}
