// SPDX-License-Identifier: Apache-2.0
import type { VmmClient } from "../vmm/vmm-client.ts";
import { type FileSender, handAllToVmm } from "../vmm/vmm-files.ts";

/** By which the guest mounts the pod's volumes (agent.proto, CreateContainer). */
const VOLUMES_TAG = "volumes";

/** Whom to ask for a device. */
export interface FilesystemTarget {
  readonly client: VmmClient;
  readonly sender: FileSender;
  /** Where the VMM takes descriptors. */
  readonly socketPath: string;
  readonly timeoutMs: number;
}

/**
 * Shows the guest a file system whose server has the other ends of these sockets. They stay open on
 * our side. Returns the noxs device.
 */
export async function attachFilesystem(
  { client, sender, socketPath, timeoutMs }: FilesystemTarget,
  sockets: readonly number[],
): Promise<number> {
  const files = sockets.map((fd) => ({ fd, what: "a file server's channel" }));
  const channels = await handAllToVmm(sender, socketPath, files, { timeoutMs });
  const request = { tag: VOLUMES_TAG, channels };
  return (await client.call("attachFilesystem", request, { timeoutMs })).deviceId;
}
