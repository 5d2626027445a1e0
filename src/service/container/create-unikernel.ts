// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { type Image, imageRef } from "../../image/images.ts";
import { isCommandLine, type Unikernel, unikernelOf } from "../../image/unikernel.ts";
import type { ContainerConfig, ContainerMetadata } from "../../pod/container-record.ts";
import { now } from "../../pod/persisted.ts";
import { newId } from "../../pod/pods.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import { provideShell, requireSeat } from "../../pod/unikernel-pod.ts";
import { LightvmError } from "../../shared/errors.ts";
import { UNIKERNEL_ANNOTATION } from "../node/runtime-handlers.ts";
import type { NodeContext } from "../node-context.ts";
import { onFailure } from "../undo.ts";

const SIGTERM = 15;
/** What kubelet mounts into every container, whether or not anybody looks at it. */
const FROM_KUBELET: ReadonlySet<string> = new Set([
  "/etc/hosts",
  "/dev/termination-log",
  "/var/run/secrets/kubernetes.io/serviceaccount",
]);

/** CreateContainer in a sandbox for unikernels: a shell that the image's kernel fits into. */
export async function createUnikernel(
  { images, logger, pods, toolstack }: NodeContext,
  request: { readonly sandbox: Sandbox; readonly config: ContainerConfig; readonly image: Image },
  signal: AbortSignal,
): Promise<string> {
  const { sandbox, config, image } = request;
  requireSeat(sandbox);
  const unikernel = unikernelOf(image.config.labels);
  if (unikernel === undefined || image.kernelPath === undefined) {
    throw new LightvmError(
      "invalid-argument",
      `image "${config.image.reference}" is not a unikernel, and sandbox ${sandbox.id} is for unikernels`,
    );
  }
  refuseWhatItCannot(sandbox, config);
  checkMemory(sandbox, unikernel);
  await using undo = new AsyncDisposableStack();
  const metadata = metadataOf(sandbox, config, image, { ...unikernel, kernel: image.kernelPath });
  const container = pods.addContainer(sandbox, metadata);
  onFailure(undo, logger, "the container's record", () => pods.removeContainer(sandbox, container));
  await provideShell({ toolstack }, sandbox, unikernel.memoryBytes, signal);
  // The file that will be booted goes with its image.
  if (images.get(image.id) === undefined) {
    throw new LightvmError("not-found", `image "${config.image.reference}" was removed meanwhile`);
  }
  container.update({ created: true });
  undo.move();
  return container.id;
}

/** Throws "invalid-argument" for a unikernel's image in a sandbox that has booted a guest of ours. */
export function refuseUnikernelImage(image: Image, config: ContainerConfig): void {
  if (image.kernelPath === undefined) return;
  throw new LightvmError(
    "invalid-argument",
    `image "${config.image.reference}" is a unikernel: its pod needs runtimeClassName ` +
      `"lightvm-unikernel" or the annotation ${UNIKERNEL_ANNOTATION}: "true"`,
  );
}

function refuseWhatItCannot(sandbox: Sandbox, config: ContainerConfig): void {
  const other = [...sandbox.containers.values()].find(({ state }) => state !== "exited");
  if (other !== undefined) {
    const name = other.metadata.config.name;
    throw refused(`holds one container at a time, and "${name}" is there`);
  }
  const volumes = [...config.mounts, ...config.imageMounts];
  const volume = volumes.find(({ containerPath }) => !FROM_KUBELET.has(containerPath));
  if (volume !== undefined) {
    throw refused(`has no file system, and a volume is wanted at "${volume.containerPath}"`);
  }
  const device = config.devices[0];
  if (device !== undefined) {
    throw refused(`has no disks, and the host device "${device.hostPath}" is wanted`);
  }
  if (config.terminal || config.stdin) throw refused("has no standard input and no terminal");
}

function checkMemory(sandbox: Sandbox, { memoryBytes }: Unikernel): void {
  const { resources } = sandbox.metadata.config;
  const limit = sandbox.metadata.vm.memoryBytes;
  if (resources.memoryLimitBytes <= 0 || memoryBytes <= limit) return;
  throw new LightvmError(
    "failed-precondition",
    `the unikernel needs ${memoryBytes} bytes of memory and the pod's limit is ${limit}`,
  );
}

function metadataOf(
  sandbox: Sandbox,
  config: ContainerConfig,
  image: Image,
  unikernel: Unikernel,
): ContainerMetadata {
  const { logDirectory, hostname } = sandbox.metadata.config;
  const commandLine = commandLineOf(config, unikernel, { hostname });
  const process = {
    arguments: commandLine.split(" ").filter((word) => word !== ""),
    environment: [],
    workingDirectory: "/",
    user: "",
    capabilities: [],
    stopSignal: SIGTERM,
  };
  return {
    id: newId(),
    sandboxId: sandbox.id,
    config,
    process,
    imageId: image.id,
    imageRef: imageRef(image),
    volumeImages: [],
    unikernel: { ...unikernel, commandLine },
    logPath: logDirectory !== "" && config.logPath !== "" ? join(logDirectory, config.logPath) : "",
    createdAt: now(),
  };
}

/**
 * A container's `command` replaces the image's command line, `args` go behind it. {NAME} stands for
 * something of the pod's.
 */
function commandLineOf(
  { command, args }: ContainerConfig,
  unikernel: Unikernel,
  values: Readonly<Record<string, string>>,
): string {
  const words = command.length > 0 ? command : [unikernel.commandLine];
  const line = [...words, ...args].filter((word) => word !== "").join(" ");
  const filled = line.replaceAll(/\{([a-z]+)\}/g, (text, name) => values[name] ?? text);
  if (isCommandLine(filled)) return filled;
  throw new LightvmError(
    "invalid-argument",
    "the unikernel's command line is longer than 2047 bytes or not printable ASCII",
  );
}

function refused(what: string): LightvmError {
  return new LightvmError("unimplemented", `a pod of unikernels ${what}`);
}
