// SPDX-License-Identifier: Apache-2.0
import type { Device as WireDevice } from "../../cri-proto/generated/runtime/v1/container.ts";
import type { ContainerDevice } from "../pod/container-record.ts";
import { absolutePath, invalid, unsupported } from "./checks.ts";

/** Checks the devices of a ContainerConfig. What is at the host paths is looked at when they are opened. */
export function containerDevices(devices: readonly WireDevice[]): ContainerDevice[] {
  const checked = devices.map(containerDevice);
  const paths = checked.map(({ containerPath }) => containerPath);
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice !== undefined) throw invalid(`there are two devices at "${twice}"`);
  return checked;
}

function containerDevice({ containerPath, hostPath, permissions }: WireDevice): ContainerDevice {
  const from = absolutePath(hostPath, "host_path of a device");
  const what = `host device "${from}"`;
  const to = absolutePath(containerPath, `container_path of ${what}`);
  if (to === "/" || to === "/dev") throw invalid(`${what} would hide "${to}"`);
  if (!/^[rwm]+$/.test(permissions)) {
    throw invalid(`${what} has the permissions "${permissions}", which are not of r, w and m`);
  }
  if (!permissions.includes("r")) {
    throw unsupported(`${what} has the permissions "${permissions}": a disk can always be read`);
  }
  return { containerPath: to, hostPath: from, writable: permissions.includes("w") };
}
