// SPDX-License-Identifier: Apache-2.0
import { dirname } from "node:path";
import { makeDirectories } from "../shared/make-directories.ts";
import type { StartSign } from "./boot.ts";
import type { BreakdownStep, PodVm, VmTap } from "./pod-vm.ts";
import { fileOfJournal, type Shell, type ShellTools } from "./shell.ts";
import type { Stopwatch } from "./stopwatch.ts";

/** What is booted in a pod's shell once its container is known. */
export interface Unikernel {
  /** Kernel file in dom0. */
  readonly kernel: string;
  readonly commandLine: string;
  /** How one learns that it has started: it says so, or it cannot and is believed to. */
  readonly signOfLife: "sysctl" | "none";
  /** Its one container, whose standard output is the console. */
  readonly containerId: string;
  /** CRI log file; "" drops the output. */
  readonly logPath: string;
  /** Its interface, if it has one; the VMM gets a copy of the tap. */
  readonly tap?: VmTap;
}

/** A VM without a guest that a pod holds until its container is started. */
export interface PodShell {
  readonly domid: number;
  /** Guest RAM in bytes. */
  readonly memoryBytes: number;
  /** Where the time of making it went. */
  readonly breakdown: readonly BreakdownStep[];
  /**
   * Loads and boots; the shell is spent, whatever comes of it. Undoes everything when it throws:
   * unavailable (the VM has died, the guest ended or stayed silent), failed-precondition (no
   * PVH kernel), cancelled.
   */
  boot(unikernel: Unikernel, signal: AbortSignal): Promise<PodVm>;
  /** Leaves nothing of it. Idempotent; after `boot` it does nothing. */
  destroy(): Promise<void>;
}

/**
 * Kernel, console and devices in place; the domain is ready to be unpaused. The calls go
 * over side by side: the VMM takes them in the order in which they are sent.
 */
export async function executeUnikernel(
  shell: Shell,
  tools: Pick<ShellTools, "vmmTimeoutMs">,
  unikernel: Unikernel,
  stopwatch: Stopwatch,
  signal: AbortSignal,
): Promise<void> {
  const { kernel, commandLine, containerId, logPath, tap } = unikernel;
  const { directory } = shell.plan;
  const wait = { signal, timeoutMs: tools.vmmTimeoutMs };
  if (logPath !== "") await makeDirectories(dirname(logPath), 0o755);
  const handed = {
    kernel: { path: kernel, flags: "r" },
    journal: shell.journalFile === undefined ? fileOfJournal(directory) : undefined,
    log: logPath === "" ? undefined : { path: logPath, flags: "a", mode: 0o640 },
    tap: tap && { fd: tap.fd, what: "the pod's tap" },
  };
  const tokens = await shell.hand(handed, signal);
  stopwatch.step("hand over the files");
  const journalFile = shell.journalFile ?? tokens.journal;
  const files = { kernelFile: tokens.kernel, ramdiskFile: 0n, bootLogFile: 0n, journalFile };
  const guest = { commandLine, vsockCid: 0, entropyDevice: false };
  const argument = { ...files, ...guest, consoleContainerId: containerId };
  const log = { containerId, file: tokens.log, terminal: false };
  const [executed] = await Promise.all([
    shell.client.call("execute", argument, wait),
    tap && shell.client.call("attachNetwork", { ...cardOf(tap), file: tokens.tap }, wait),
    shell.client.call("setContainerLog", log, wait),
  ]);
  stopwatch.step("execute");
  stopwatch.add("execute", executed.breakdown);
}

function cardOf({ mac, mtu, offloads }: VmTap) {
  return { mac, mtu, offloads };
}

/** What one waits for after the unpause. */
export function startSign(shell: Shell, { signOfLife }: Unikernel): StartSign {
  if (signOfLife === "none") return { seen: Promise.resolve(), missing: "" };
  return { seen: shell.events.alive, missing: "the unikernel gave no sign of life" };
}
