// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { now } from "../../pod/persisted.ts";
import { newId } from "../../pod/pods.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import type { SandboxConfig } from "../../pod/sandbox-record.ts";
import { supervise } from "../../pod/supervision.ts";
import type { UnikernelSeat } from "../../pod/unikernel-pod.ts";
import type { NodeMetrics } from "../../shared/metrics.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";
import type { NodeContext } from "../node-context.ts";
import { onFailure } from "../undo.ts";
import { vmOf } from "./vm-size.ts";

/** Bytes of entropy that a new guest starts with. */
const ENTROPY_BYTES = 64;

/** RunPodSandbox: a booted VM whose agent knows the pod's settings. Returns the sandbox's id. */
export async function runPodSandbox(
  context: NodeContext,
  sandboxConfig: SandboxConfig,
  signal: AbortSignal,
): Promise<string> {
  const { config, logger, metrics, pods, toolstack } = context;
  await using undo = new AsyncDisposableStack();
  const sandbox = pods.addSandbox({
    id: newId(),
    config: sandboxConfig,
    vm: vmOf(sandboxConfig, config.vm),
    createdAt: now(),
  });
  onFailure(undo, logger, "the sandbox's record", () => pods.removeSandbox(sandbox));
  using _turn = await toolstack.turn(signal);
  if (sandbox.unikernel !== undefined) {
    await holdShell(context, sandbox, sandbox.unikernel, signal);
    undo.move();
    return sandbox.id;
  }
  const vm = await toolstack.create(sandbox.vmSpec, signal);
  observeBoot(metrics, vm);
  onFailure(undo, logger, "the sandbox's VM", () => vm.destroy());
  await configure(vm, sandbox, signal);
  supervise(sandbox, vm, logger);
  sandbox.update({ readyAt: now() });
  // It may have ended since it booted; then it was never ready.
  sandbox.requireVm();
  undo.move();
  logger.info(
    { pod: sandbox.id, domid: vm.domid, name: sandbox.metadata.vm.name },
    "a pod is ready",
  );
  return sandbox.id;
}

/** A unikernel's sandbox is ready when its shell waits; the kernel comes with the container. */
async function holdShell(
  { logger, toolstack }: NodeContext,
  sandbox: Sandbox,
  seat: UnikernelSeat,
  signal: AbortSignal,
): Promise<void> {
  const shell = await toolstack.prepareShell(sandbox.vmSpec, signal);
  seat.shell = shell;
  sandbox.update({ readyAt: now() });
  logger.info({ pod: sandbox.id, domid: shell.domid }, "a pod waits for its unikernel");
}

function observeBoot(metrics: NodeMetrics, { breakdown }: PodVm): void {
  const boot = breakdown.find(({ name, phase }) => phase === "toolstack" && name === "boot");
  if (boot !== undefined) metrics.boots.observe(Number(boot.nanoseconds) / 1e9);
}

async function configure(vm: PodVm, sandbox: Sandbox, signal: AbortSignal): Promise<void> {
  const { hostname, sysctls, dns, userNamespace } = sandbox.metadata.config;
  const value = {
    hostname,
    sysctls,
    dns,
    realtimeNanoseconds: now(),
    entropy: randomBytes(ENTROPY_BYTES),
    addresses: [],
    userNamespace: userNamespace && {
      uids: idRange(userNamespace.uids),
      gids: idRange(userNamespace.gids),
    },
  };
  await vm.call({ $case: "configureSandbox", value }, { signal });
}

function idRange({ hostId, length }: { readonly hostId: number; readonly length: number }) {
  return { first: hostId, length };
}
