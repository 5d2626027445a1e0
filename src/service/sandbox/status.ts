// SPDX-License-Identifier: Apache-2.0
import type { Sandbox } from "../../pod/sandbox.ts";
import type { NodeContext } from "../node-context.ts";

/** PodSandboxStatus. Throws "not-found". */
export function podSandboxStatus({ pods }: NodeContext, id: string): Sandbox {
  return pods.getSandbox(id);
}

/** What only we know of a sandbox, for people who look for a fault. */
export function podSandboxDetails(sandbox: Sandbox): object {
  const { metadata, status } = sandbox;
  const { unikernel } = sandbox;
  const vm = sandbox.vm ?? unikernel?.vm;
  const breakdown = (vm ?? unikernel?.shell)?.breakdown;
  return {
    domid: sandbox.domid,
    vcpus: metadata.vm.vcpus,
    memoryBytes: metadata.vm.memoryBytes,
    end: status.end?.message,
    reason: vm?.end?.reason,
    /** Where the time of its creation went; forgotten when lightvmd restarts. */
    breakdown: breakdown?.map(({ phase, name, nanoseconds, hypercalls, bytesCopied }) => ({
      phase,
      name,
      nanoseconds: Number(nanoseconds),
      hypercalls,
      bytesCopied: Number(bytesCopied),
    })),
    /** The same of its network, which is made at the same time. */
    network: sandbox.networkSteps.map(({ name, nanoseconds }) => ({
      name,
      nanoseconds: Number(nanoseconds),
    })),
  };
}
