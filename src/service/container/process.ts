// SPDX-License-Identifier: Apache-2.0
import type { ImageConfig } from "../../image/images.ts";
import type { ContainerConfig, ContainerProcess } from "../../pod/container-record.ts";
import { LightvmError } from "../../shared/errors.ts";
import { capabilitySet } from "./capabilities.ts";
import { signalNumber } from "./signals.ts";

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const DEFAULT_STOP_SIGNAL = "SIGTERM";

/**
 * What the image's author says and what the caller says, merged as Kubernetes documents it: a
 * command replaces entrypoint and command of the image, arguments alone only the latter.
 * Throws "invalid-argument" when neither names a command.
 */
export function mergeProcess(
  config: ContainerConfig,
  image: ImageConfig,
  hostname: string,
): ContainerProcess {
  return {
    arguments: commandLine(config, image),
    environment: environment(config, image, hostname),
    workingDirectory: config.workingDirectory || image.workingDirectory || "/",
    user: config.security.user || image.user,
    capabilities: capabilitySet(config.security),
    stopSignal: signalNumber(config.stopSignal || image.stopSignal || DEFAULT_STOP_SIGNAL),
  };
}

function commandLine(config: ContainerConfig, image: ImageConfig): string[] {
  const own = config.command.length > 0;
  const command = own ? config.command : image.entrypoint;
  const args = own || config.args.length > 0 ? config.args : image.command;
  const words = [...command, ...args];
  if (words[0] === undefined || words[0] === "") {
    throw new LightvmError(
      "invalid-argument",
      `container "${config.name}" has no command, and neither has its image`,
    );
  }
  return words;
}

/** Later values win, at the place of the first. */
function environment(config: ContainerConfig, image: ImageConfig, hostname: string): string[] {
  const terminal = config.terminal ? ["TERM=xterm"] : [];
  const all = [
    DEFAULT_PATH,
    ...terminal,
    `HOSTNAME=${hostname}`,
    ...image.environment,
    ...config.environment,
  ];
  const values = new Map<string, string>();
  for (const entry of all) values.set(entry.slice(0, entry.indexOf("=")), entry);
  return [...values.values()];
}
