// SPDX-License-Identifier: Apache-2.0
import { posix } from "node:path";
import type { KeyValue } from "../../cri-proto/generated/runtime/v1/common.ts";
import {
  Signal,
  type ContainerConfig as WireConfig,
} from "../../cri-proto/generated/runtime/v1/container.ts";
import type { CreateContainerRequest } from "../../cri-proto/generated/runtime/v1/container_calls.ts";
import type { ContainerConfig } from "../pod/container-record.ts";
import { checkRuntimeHandler } from "../service/node/runtime-handlers.ts";
import { invalid, oneLine, required, unsupported } from "./checks.ts";
import { containerDevices } from "./device-request.ts";
import { containerMount, imageMount, requestedImage } from "./mount-request.ts";
import { containerResources } from "./resources-request.ts";
import { containerSecurity } from "./security-request.ts";
import { signalName } from "./signal-names.ts";

/** Checks a CreateContainerRequest once; what comes out has no wire types any more. */
export function containerConfig(request: CreateContainerRequest): ContainerConfig {
  const config = required(request.config, "config");
  const { name, attempt } = required(config.metadata, "config.metadata");
  if (name === "") throw invalid("config.metadata.name is empty");
  const image = required(config.image, "config.image");
  if (image.image === "") throw invalid("config.image.image is empty");
  checkRuntimeHandler(image.runtimeHandler);
  refuseUnsupported(config);
  return {
    name,
    attempt,
    image: requestedImage(image),
    command: config.command,
    args: config.args,
    workingDirectory: workingDirectory(config.workingDir),
    environment: config.envs.map(environmentVariable),
    mounts: config.mounts.filter((mount) => mount.image === undefined).map(containerMount),
    imageMounts: config.mounts.flatMap((mount) =>
      mount.image === undefined ? [] : [imageMount(mount, mount.image)],
    ),
    devices: containerDevices(config.devices),
    labels: config.labels,
    annotations: config.annotations,
    logPath: logPath(config.logPath),
    terminal: config.tty,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    stopSignal: stopSignal(config.stopSignal),
    resources: containerResources(config.linux?.resources, "config.linux.resources"),
    security: containerSecurity(config.linux?.securityContext),
  };
}

/** By name, so that nobody looks for a device that was silently left out. */
function refuseUnsupported({ CDIDevices, windows }: WireConfig): void {
  if (windows !== undefined) throw unsupported("Windows containers do not exist here");
  for (const { name } of CDIDevices) throw unsupported(`CDI device "${name}"`);
}

function workingDirectory(path: string): string {
  if (path !== "" && !path.startsWith("/")) {
    throw invalid(`config.working_dir "${path}" is not absolute`);
  }
  return path;
}

function environmentVariable({ key, value }: KeyValue): string {
  if (key === "" || key.includes("=") || key.includes("\0")) {
    throw invalid(`"${key}" cannot be the name of an environment variable`);
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(value);
  } catch {
    throw unsupported(`environment variable "${key}" is not UTF-8`);
  }
  if (text.includes("\0")) throw invalid(`environment variable "${key}" contains a NUL byte`);
  return `${key}=${text}`;
}

function logPath(path: string): string {
  if (path === "") return "";
  const normal = posix.normalize(oneLine(path, "config.log_path"));
  if (posix.isAbsolute(path) || normal === ".." || normal.startsWith("../")) {
    throw invalid(`config.log_path "${path}" leads out of the sandbox's log directory`);
  }
  return normal;
}

/** The CRI's number → "SIGTERM", "SIGRTMIN+3"; "" when the image decides. */
function stopSignal(signal: Signal): string {
  if (signal === Signal.SIGNAL_RUNTIME_DEFAULT) return "";
  const name = signalName(signal);
  if (name === undefined) throw invalid(`there is no stop signal ${signal}`);
  return name;
}
