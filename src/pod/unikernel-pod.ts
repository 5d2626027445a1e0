// SPDX-License-Identifier: Apache-2.0
//
// A pod whose guest is the kernel of its container's image. Its sandbox outlives its VMs: each start of
// a container takes the shell that waits, and what ends is the container, not the pod.
//
//            shell prepared          start                     guest or VMM ends, stop
//   (none) ──────────────► waiting ────────► running (one container) ──────────────────► (none)
//      ▲                      │ the pod ends                                                │
//      └──────────────────────┴──────────── the next container's creation ◄─────────────────┘
import { isIP } from "node:net";
import { GuestEnd_Reason } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import type { Network, Tap } from "../network/network.ts";
import { describeError, LightvmError } from "../shared/errors.ts";
import type { Logger } from "../shared/logger.ts";
import type { PodVm, PodVmEnd } from "../toolstack/pod-vm.ts";
import type { Toolstack } from "../toolstack/toolstack.ts";
import type { PodShell } from "../toolstack/unikernel.ts";
import type { Container } from "./container.ts";
import type { ContainerExit } from "./container-record.ts";
import { now } from "./persisted.ts";
import type { Sandbox } from "./sandbox.ts";

const EXIT_CODE_START_ERROR = 128;
/** 128 + SIGABRT, SIGKILL: what a process has that does the like. */
const EXIT_CODE_PANIC = 134;
const EXIT_CODE_KILLED = 137;
const EXIT_CODE_VM_GONE = 255;

/** What such a sandbox has; at most one of the two. */
export interface UnikernelSeat {
  shell: PodShell | undefined;
  /** Of the container that runs. */
  vm: PodVm | undefined;
}

export interface UnikernelTools {
  readonly network: Pick<Network, "openTap">;
  readonly toolstack: Pick<Toolstack, "prepareShell">;
  readonly logger: Logger;
}

/** The seat of a sandbox that can take work. Throws "failed-precondition". */
export function requireSeat(sandbox: Sandbox): UnikernelSeat {
  const { unikernel } = sandbox;
  if (unikernel !== undefined && sandbox.state === "ready") return unikernel;
  const why = sandbox.status.end?.message ?? "it is being removed";
  throw new LightvmError("failed-precondition", `sandbox ${sandbox.id} is not ready: ${why}`);
}

/** Sees to it that a shell of at least this size waits. */
export async function provideShell(
  { toolstack }: Pick<UnikernelTools, "toolstack">,
  sandbox: Sandbox,
  memoryBytes: number,
  signal: AbortSignal,
): Promise<void> {
  const seat = requireSeat(sandbox);
  if (seat.shell !== undefined && seat.shell.memoryBytes >= memoryBytes) return;
  await seat.shell?.destroy();
  seat.shell = undefined;
  const { vmSpec } = sandbox;
  const size = Math.max(memoryBytes, vmSpec.memoryBytes);
  const shell = await toolstack.prepareShell({ ...vmSpec, memoryBytes: size }, signal);
  if (sandbox.state === "ready" || sandbox.state === "creating") seat.shell = shell;
  else await shell.destroy();
  requireSeat(sandbox);
}

/**
 * Boots the container's kernel in the shell that waits; in a fresh one if none does, as after a
 * restart of lightvmd. It has started once it gives a sign of life. Takes no signal: it must not start
 * behind the back of a caller who has given up.
 */
export async function startUnikernel(
  tools: UnikernelTools,
  sandbox: Sandbox,
  container: Container,
): Promise<PodVm> {
  const signal = new AbortController().signal;
  container.update({ starting: true });
  let vm: PodVm;
  try {
    vm = await bootKernel(tools, sandbox, container, signal);
    superviseUnikernel(sandbox, container, vm, tools.logger);
    // The pod was stopped meanwhile, when there was no VM yet that could be.
    if (sandbox.state !== "ready") await vm.stop(0);
  } catch (error) {
    const message = describeError(error);
    container.settle({ at: now(), code: EXIT_CODE_START_ERROR, reason: "StartError", message });
    throw error;
  }
  container.update({ startedAt: now() });
  return vm;
}

async function bootKernel(
  tools: UnikernelTools,
  sandbox: Sandbox,
  container: Container,
  signal: AbortSignal,
): Promise<PodVm> {
  const { unikernel, logPath } = container.metadata;
  if (unikernel === undefined) throw new LightvmError("internal", "a container without a kernel");
  await provideShell(tools, sandbox, unikernel.memoryBytes, signal);
  // The tap of a container before this one is free once nothing is left of its VM.
  await sandbox.concluded;
  // The tap leaves no work to the guest: a unikernel may know nothing of offloads.
  using tap =
    unikernel.network === "none" ? undefined : await tools.network.openTap(sandbox.id, false);
  const seat = requireSeat(sandbox);
  const { shell } = seat;
  seat.shell = undefined;
  if (shell === undefined) throw new LightvmError("unavailable", "the pod's shell is gone");
  const commandLine = withAddresses(unikernel.commandLine, tap);
  const parts = { containerId: container.id, logPath, commandLine };
  return await shell.boot({ ...unikernel, ...parts, ...(tap && { tap }) }, signal);
}

/** {address} with prefix length and {gateway}, as the plugins gave them; IPv4, empty if there is none. */
function withAddresses(commandLine: string, tap: Tap | undefined): string {
  const { addresses = [], routes = [] } = tap ?? {};
  const isIpv4 = (text: string) => isIP(text.split("/")[0] ?? "") === 4;
  const gateway = routes.find((route) => route.destination === "0.0.0.0/0")?.gateway;
  return commandLine
    .replaceAll("{address}", addresses.find(isIpv4) ?? "")
    .replaceAll("{gateway}", gateway ?? "");
}

/** From now on the end of the VM is the end of the container, and nothing is left of the VM then. */
export function superviseUnikernel(
  sandbox: Sandbox,
  container: Container,
  vm: PodVm,
  logger: Logger,
): void {
  const { unikernel: seat } = sandbox;
  if (seat === undefined) return;
  seat.vm = vm;
  const log = logger.child({ pod: sandbox.id, container: container.id });
  sandbox.concluded = vm.ended.then(async (end) => {
    try {
      const exit = unikernelExit(end);
      container.settle(exit);
      log.info({ code: exit.code, reason: exit.reason }, "a unikernel has ended");
      await vm.destroy();
    } catch (error) {
      log.error({ error }, "cannot clear up after a unikernel");
    }
    if (seat.vm === vm) seat.vm = undefined;
  });
}

/** How a VM ended, as the exit of the one container in it. */
export function unikernelExit({ reason, message, at }: PodVmEnd): ContainerExit {
  switch (reason) {
    case GuestEnd_Reason.REASON_POWEROFF:
      return { at, code: 0, reason: "Completed", message };
    case GuestEnd_Reason.REASON_PANIC:
    case GuestEnd_Reason.REASON_DEVICE_ERROR:
    case GuestEnd_Reason.REASON_REBOOT:
      // What its kernel has done was its end. A reboot is also what Xen makes of a triple fault;
      // whoever wants it again starts it again.
      return { at, code: EXIT_CODE_PANIC, reason: "Error", message };
    case "destroyed":
      return { at, code: EXIT_CODE_KILLED, reason: "Error", message };
    default:
      return { at, code: EXIT_CODE_VM_GONE, reason: "Error", message };
  }
}

/** Asks the guest to power off, and destroys it when `graceMs` is over (0 = at once). */
export async function stopUnikernel(
  sandbox: Sandbox,
  container: Container,
  graceMs: number,
): Promise<void> {
  await sandbox.unikernel?.vm?.stop(graceMs);
  await container.exited;
  await sandbox.concluded;
}

/** Ends everything that the sandbox has, and the sandbox. Idempotent. */
export async function endUnikernelSandbox(sandbox: Sandbox): Promise<void> {
  const { unikernel: seat } = sandbox;
  if (seat === undefined) return;
  sandbox.settle({ at: now(), message: "the pod was stopped" });
  await seat.vm?.stop(0);
  await sandbox.concluded;
  await seat.shell?.destroy();
  seat.shell = undefined;
}
