// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";

/** Where both runtimes look for their network. */
export const NETWORK_DIRECTORY = "/etc/cni/net.d";

/**
 * The network of pods of both runtimes: a bridge and host ports. It does not masquerade, as nothing
 * leads out of the box: under emulation, the twenty calls of iptables that a pod would take for it are
 * most of the time that a spec lasts.
 */
const NETWORK = JSON.stringify({
  cniVersion: "1.0.0",
  name: "conformance",
  plugins: [
    {
      type: "bridge",
      bridge: "conformance0",
      isGateway: true,
      hairpinMode: true,
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: "10.90.0.0/16" }]],
        routes: [{ dst: "0.0.0.0/0" }],
        dataDir: "/run/cni/leases",
      },
    },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
});

/** Gives the box this network. By its name it comes before the box's own. */
export async function useNetwork(box: Box): Promise<void> {
  await box.exec(`cat >${NETWORK_DIRECTORY}/05-conformance.conflist`, { input: NETWORK });
}
