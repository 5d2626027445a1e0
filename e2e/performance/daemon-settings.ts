// SPDX-License-Identifier: Apache-2.0
import type { ShellLevel } from "../../src/toolstack/shell-record.ts";
import type { Box } from "../box/box.ts";

/** A pool of one shell; undefined = no pool. */
export type PoolOfOne = ShellLevel | undefined;

const STILL = "/run/still-network";

/**
 * A CNI network whose one plugin does nothing. Pods of unikernels run in it, and what is measured is
 * then our own and not that of the plugins.
 */
const STILL_NETWORK = `
set -e
mkdir -p ${STILL}/net.d ${STILL}/bin
echo '{"cniVersion":"1.0.0","name":"still","plugins":[{"type":"still"}]}' >${STILL}/net.d/10-still.conflist
cat >${STILL}/bin/still <<'END'
#!/bin/sh
read -r configuration
if [ "$CNI_COMMAND" = ADD ]; then echo '{"cniVersion":"1.0.0"}'; fi
END
chmod +x ${STILL}/bin/still
`;

/** Puts that network into a box. */
export async function installStillNetwork(box: Box): Promise<void> {
  const { code, stderr } = await box.exec(STILL_NETWORK);
  if (code !== 0) throw new Error(`no network that does nothing in the box: ${stderr}`);
}

/**
 * lightvmd's settings, in which deadlines are those of an emulated machine. `kernelArguments` are more of
 * them for the guests' kernel.
 */
export function daemonSettings(
  pool: PoolOfOne,
  network: "bridge" | "still",
  kernelArguments: string = "",
): string {
  return `
[vm]
kernel_arguments = "${kernelArguments}"
boot_timeout_seconds = 60
vmm_timeout_seconds = 60
[image.registries."127.0.0.1:5000"]
plain_http = true
[pool]
size = ${pool === undefined ? 0 : 1}
level = "${pool ?? "prepared"}"
${network === "bridge" ? "" : `[network]\ncni_config_directory = "${STILL}/net.d"\ncni_binary_directory = "${STILL}/bin"`}
`;
}
