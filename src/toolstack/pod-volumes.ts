// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import { LightvmError } from "../shared/errors.ts";
import type { ProcessStarter } from "../shared/process-starter.ts";
import { waitFor } from "../shared/wait.ts";
import { startFileServer } from "../vmm/file-server.ts";
import {
  isRunning,
  type ProcessIdentity,
  signalProcess,
  waitUntilGone,
} from "../vmm/process-identity.ts";
import type { VolumeHost, VolumeOptions } from "./volume-host.ts";

/** Threads of a file server, and so its requests under way. */
const CHANNELS = 4;
/** How long a file server may take to die of SIGKILL. */
const KILL_MS = 10_000;

/** A host path as a container shall see it. */
export interface Volume extends VolumeOptions {
  readonly hostPath: string;
}

/** Where a container's volumes are in the file system that the guest mounts. */
export interface AttachedVolumes {
  /** The noxs device of that file system. */
  readonly deviceId: number;
  /** One name a volume, in their order. */
  readonly names: readonly string[];
  /** Which of them have other mounts of the host below them. */
  readonly withMounts: readonly boolean[];
}

/** What is written down of a pod's volumes, for the next lightvmd. */
export interface VolumesRecord {
  readonly fileServer?: ProcessIdentity;
  readonly volumesDevice?: number;
}

/** What the volumes of one pod take of its VM. */
export interface VolumesOwner {
  readonly host: VolumeHost;
  readonly processes: ProcessStarter;
  readonly binary: string;
  readonly logPath: string;
  readonly timeoutMs: number;
  /** Shows the guest a file system behind these sockets; returns its device. */
  readonly show: (sockets: readonly number[]) => Promise<number>;
  readonly note: (record: VolumesRecord) => void;
}

/** A file server whose file system the guest has. */
interface Served {
  readonly server: ProcessIdentity;
  readonly deviceId: number;
}

/**
 * The volumes of one pod: mounts in the namespace of one process, which serves them, from the first
 * container that wants any until the end of the VM.
 */
export class PodVolumes {
  readonly #owner: VolumesOwner;
  /** Of an attempt to start a server that was cut off. */
  readonly #remains: ProcessIdentity | undefined;
  #served: Promise<Served> | undefined;

  /** `record`: what a lightvmd before this one has written down. */
  constructor(owner: VolumesOwner, { fileServer, volumesDevice }: VolumesRecord) {
    this.#owner = owner;
    this.#remains = fileServer;
    if (fileServer !== undefined && volumesDevice !== undefined) {
      this.#served = Promise.resolve({ server: fileServer, deviceId: volumesDevice });
    }
  }

  /** Mounts a container's volumes. What was mounted when it throws, `detach` takes away. */
  async attach(
    containerId: string,
    volumes: readonly Volume[],
    signal: AbortSignal,
  ): Promise<AttachedVolumes> {
    const { server, deviceId } = await waitFor(this.#serve(), "the file server", { signal });
    const { host, timeoutMs } = this.#owner;
    const names = volumes.map((_, index) => `${containerId}-${index}`);
    for (const [index, { hostPath, ...options }] of volumes.entries()) {
      const mounted = host.mountVolume(server, hostPath, names[index] ?? "", options);
      await waitFor(mounted, `mounting ${hostPath}`, { signal, timeoutMs });
    }
    const all = await host.volumes(server);
    return { deviceId, names, withMounts: names.map((name) => all.get(name) === true) };
  }

  /** Takes a container's volumes away. Idempotent. */
  async detach(containerId: string): Promise<void> {
    if (this.#served === undefined) return;
    const { host } = this.#owner;
    const { server } = await this.#served;
    // What it had is gone with it.
    if (!isRunning(server)) return;
    for (const name of (await host.volumes(server)).keys()) {
      if (name.startsWith(`${containerId}-`)) await host.unmountVolume(server, name);
    }
  }

  /** Shared by all containers, so none of them may cancel it. */
  #serve(): Promise<Served> {
    if (this.#served === undefined) {
      this.#served = this.#startServer();
      this.#served.catch(() => {
        this.#served = undefined;
      });
    }
    return this.#served;
  }

  async #startServer(): Promise<Served> {
    const { host, processes, binary, logPath, timeoutMs, note, show } = this.#owner;
    await endFileServer(this.#remains);
    await using undo = new AsyncDisposableStack();
    let started: ProcessIdentity | undefined;
    undo.defer(async () => await endFileServer(started));
    using sockets = new SocketPairs();
    sockets.open(host);
    const onStarted = (fileServer: ProcessIdentity) => {
      started = fileServer;
      note({ fileServer });
    };
    const options = { processes, binary, channels: sockets.far, logPath, onStarted };
    const server = await startFileServer(options, { timeoutMs });
    const deviceId = await show(sockets.near);
    note({ volumesDevice: deviceId });
    undo.move();
    return { server, deviceId };
  }
}

/** Ends a file server, and its volumes with it. Idempotent; throws when it survives. */
export async function endFileServer(server: ProcessIdentity | undefined): Promise<void> {
  if (server === undefined) return;
  signalProcess(server, "SIGKILL");
  if (await waitUntilGone(server, KILL_MS)) return;
  throw new LightvmError("internal", `file server ${server.pid} survives SIGKILL`);
}

/** Connected sockets for one file server, closed on our side when it and the VMM have theirs. */
class SocketPairs implements Disposable {
  readonly near: number[] = [];
  readonly far: number[] = [];

  open(host: Pick<VolumeHost, "socketPair">): void {
    for (let count = 0; count < CHANNELS; count += 1) {
      const [near, far] = host.socketPair();
      this.near.push(near);
      this.far.push(far);
    }
  }

  [Symbol.dispose](): void {
    for (const descriptor of [...this.near, ...this.far]) closeSync(descriptor);
  }
}
