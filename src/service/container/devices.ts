// SPDX-License-Identifier: Apache-2.0
import type { Device } from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { Container } from "../../pod/container.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";

/** Gives the guest what a container wants of the host's devices; what the agent is told about it. */
export async function guestDevices(
  vm: PodVm,
  container: Container,
  signal: AbortSignal,
): Promise<Device[]> {
  const { devices } = container.metadata.config;
  if (devices.length === 0) return [];
  const attached = await vm.attachDevices(container.id, devices, signal);
  return attached.map((device, index) => ({
    path: devices[index]?.containerPath ?? "",
    ...device,
  }));
}
