// SPDX-License-Identifier: Apache-2.0

/** Why specs cannot pass. One that does not pass and has no reason here makes the run fail. */
export interface Reason {
  /** Matches the specs' names. */
  readonly specs: RegExp;
  readonly reason: string;
}

const OWN_KERNEL =
  "a pod is a VM with a kernel of its own; what the node's kernel has is not in it";

/** True of both runtimes here. */
const OFFLINE: Reason = {
  specs: /public image with digest should be pulled/,
  reason:
    "asks for one manifest by its digest; the images of this run are built from Debian's packages, and nobody can build those bytes",
};

export const REASONS: Readonly<Record<"lightvm" | "containerd", readonly Reason[]>> = {
  lightvm: [
    OFFLINE,
    {
      specs: /^AppArmor .*(blocking writes|permissive|with apparmor profile)/,
      reason: `AppArmor profiles are loaded into the node's kernel; ${OWN_KERNEL}. Refused by name`,
    },
    {
      specs: /HostNetwork is true|portforward in host network/,
      reason: `host network; ${OWN_KERNEL}. Refused with what to do instead`,
    },
    { specs: /HostPID/, reason: `host processes; ${OWN_KERNEL}. Refused with what to do instead` },
    {
      specs: /HostIpc is true/,
      reason: `host IPC; ${OWN_KERNEL}. Refused with what to do instead`,
    },
    {
      specs: /'rshared' should support propagation/,
      reason: `a mount made in the pod would have to appear on the node; ${OWN_KERNEL}. Refused by name; critest leaves the mount behind that it made on the node for it`,
    },
  ],
  containerd: [OFFLINE],
};
