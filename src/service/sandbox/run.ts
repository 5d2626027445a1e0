// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import type { Attachment } from "../../network/network.ts";
import { now } from "../../pod/persisted.ts";
import { newId } from "../../pod/pods.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import type { SandboxConfig } from "../../pod/sandbox-record.ts";
import { supervise } from "../../pod/supervision.ts";
import type { UnikernelSeat } from "../../pod/unikernel-pod.ts";
import { together } from "../../shared/together.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";
import type { NodeContext } from "../node-context.ts";
import { observeBoot } from "../observe-boot.ts";
import { onFailure } from "../undo.ts";
import { connectVm, dnsOf, networkRequest } from "./pod-network.ts";
import { vmOf } from "./vm-size.ts";

/** Bytes of entropy that a new guest starts with. */
const ENTROPY_BYTES = 64;

/**
 * RunPodSandbox: a booted VM in the pod's network, whose agent knows the pod's settings. The plugins
 * work while the VM boots; its interface is hot-plugged. Returns the sandbox's id.
 */
export async function runPodSandbox(
  context: NodeContext,
  sandboxConfig: SandboxConfig,
  signal: AbortSignal,
): Promise<string> {
  const { config, logger, metrics, network, pods, toolstack } = context;
  await using undo = new AsyncDisposableStack();
  const sandbox = pods.addSandbox({
    id: newId(),
    config: sandboxConfig,
    vm: vmOf(sandboxConfig, config.vm),
    createdAt: now(),
  });
  onFailure(undo, logger, "the sandbox's record", () => pods.removeSandbox(sandbox));
  using _turn = await toolstack.turn(signal);
  onFailure(undo, logger, "the sandbox's network", () => network.detach(sandbox.id));
  if (sandbox.unikernel !== undefined) {
    const seat = sandbox.unikernel;
    onFailure(undo, logger, "the sandbox's shell", () => seat.shell?.destroy());
    await holdShell(context, sandbox, seat, signal);
    undo.move();
    return sandbox.id;
  }
  const [attachment, vm] = await together(
    signal,
    (either) => network.attach(networkRequest(sandbox), either),
    async (either) => {
      const created = await toolstack.create(sandbox.vmSpec, either);
      onFailure(undo, logger, "the sandbox's VM", () => created.destroy());
      return created;
    },
  );
  observeBoot(metrics, "linux", vm);
  await connectVm(network, vm, sandbox.id, signal);
  await configure(vm, sandbox, attachment, signal);
  supervise(sandbox, vm, logger);
  sandbox.networkSteps = attachment.steps;
  sandbox.update({ readyAt: now(), addresses: [...attachment.addresses] });
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
  { logger, network, toolstack }: NodeContext,
  sandbox: Sandbox,
  seat: UnikernelSeat,
  signal: AbortSignal,
): Promise<void> {
  const [attachment, shell] = await together(
    signal,
    (either) => network.attach(networkRequest(sandbox), either),
    async (either) => {
      seat.shell = await toolstack.prepareShell(sandbox.vmSpec, either);
      return seat.shell;
    },
  );
  sandbox.networkSteps = attachment.steps;
  sandbox.update({ readyAt: now(), addresses: [...attachment.addresses] });
  logger.info({ pod: sandbox.id, domid: shell.domid }, "a pod waits for its unikernel");
}

async function configure(
  vm: PodVm,
  sandbox: Sandbox,
  attachment: Attachment,
  signal: AbortSignal,
): Promise<void> {
  const { hostname, sysctls, dns, userNamespace } = sandbox.metadata.config;
  const { servers, searches, options } = await dnsOf(dns, attachment);
  const value = {
    hostname,
    sysctls,
    dns: { servers: [...servers], searches: [...searches], options: [...options] },
    realtimeNanoseconds: now(),
    entropy: randomBytes(ENTROPY_BYTES),
    addresses: [...attachment.addresses],
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
