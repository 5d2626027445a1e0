// SPDX-License-Identifier: Apache-2.0
import { closeSync } from "node:fs";
import type { Device } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { LightvmError } from "../shared/errors.ts";
import { Mutex } from "../shared/mutex.ts";
import { waitFor } from "../shared/wait.ts";
import type { CharacterDevice, DeviceHost, HostDevice, OpenBlockDevice } from "./device-host.ts";
import type { VmDisks } from "./vm-disks.ts";

/**
 * Character devices that a guest has as well, by Linux' numbers (Documentation/admin-guide/devices.txt).
 * They lead to its own kernel and to nothing of the host.
 */
const OF_THE_GUEST: ReadonlyMap<string, string> = new Map([
  ["1:3", "null"],
  ["1:5", "zero"],
  ["1:7", "full"],
  ["1:8", "random"],
  ["1:9", "urandom"],
  ["5:0", "tty"],
  ["10:229", "fuse"],
]);
const WRITE_PERMISSIONS = 0o222;

/** A device of the host that a container shall have. */
export interface WantedDevice {
  readonly hostPath: string;
  readonly writable: boolean;
}

/** What the guest has of it, and how its node shall be. */
export type AttachedDevice = Pick<Device, "node" | "mode" | "uid" | "gid">;

/** A block device of the host that the guest has as a disk. */
export interface DiskRecord {
  /** "MAJOR:MINOR" of the host. */
  readonly host: string;
  readonly writable: boolean;
  readonly deviceId: number;
  /** Ids of those that have it; none: it is being taken away. */
  readonly containers: readonly string[];
}

/**
 * The block devices of the host that one pod has. Containers that want the same one share a disk, as
 * they would share the host's cache of it; who may only read has another one than who may write. The
 * last container takes the disk with it.
 */
export class PodDevices {
  readonly #host: DeviceHost;
  readonly #vmDisks: VmDisks;
  readonly #note: (disks: readonly DiskRecord[]) => void;
  #disks: readonly DiskRecord[];
  /** A disk is not shared while it is being taken away. */
  readonly #lock = new Mutex();

  /** `record`: what a lightvmd before this one has written down. */
  constructor(
    host: DeviceHost,
    vmDisks: VmDisks,
    record: readonly DiskRecord[],
    note: (disks: readonly DiskRecord[]) => void,
  ) {
    this.#host = host;
    this.#vmDisks = vmDisks;
    this.#disks = record;
    this.#note = note;
  }

  /** In the order of `wanted`. What was attached when it throws, `detach` takes away. */
  async attach(
    containerId: string,
    wanted: readonly WantedDevice[],
    signal: AbortSignal,
  ): Promise<AttachedDevice[]> {
    // What has begun comes to its end, whether or not the caller waits for it.
    const attaching = this.#attachAll(containerId, wanted, signal);
    return await waitFor(attaching, "attaching devices", { signal });
  }

  /** Takes a container's disks away that no other has. Idempotent. */
  async detach(containerId: string): Promise<void> {
    using _turn = await this.#lock.acquire("the pod's devices");
    if (this.#disks.some(({ containers }) => containers.includes(containerId))) {
      this.#write(
        this.#disks.map((disk) => ({
          ...disk,
          containers: disk.containers.filter((id) => id !== containerId),
        })),
      );
    }
    await this.#unplugUnused();
  }

  async #attachAll(
    containerId: string,
    wanted: readonly WantedDevice[],
    signal: AbortSignal,
  ): Promise<AttachedDevice[]> {
    using _turn = await this.#lock.acquire("the pod's devices", signal);
    const attached: AttachedDevice[] = [];
    for (const device of wanted) attached.push(await this.#attach(containerId, device));
    return attached;
  }

  async #attach(containerId: string, wanted: WantedDevice): Promise<AttachedDevice> {
    const { hostPath, writable } = wanted;
    const device = this.#host.open(hostPath, writable);
    const node = await this.#nodeOf(containerId, device, wanted);
    const { uid, gid } = device;
    const mode = writable ? device.mode : device.mode & ~WRITE_PERMISSIONS;
    return { node, mode, uid, gid };
  }

  async #nodeOf(
    containerId: string,
    device: HostDevice,
    wanted: WantedDevice,
  ): Promise<Device["node"]> {
    if (device.kind === "character")
      return { $case: "guestName", value: guestName(device, wanted) };
    try {
      return { $case: "blockDeviceId", value: await this.#disk(containerId, device, wanted) };
    } finally {
      closeSync(device.fd);
    }
  }

  /** The disk that the guest has of a block device, from now on also for this container. */
  async #disk(
    containerId: string,
    { fd, major, minor }: OpenBlockDevice,
    { hostPath, writable }: WantedDevice,
  ): Promise<number> {
    const host = `${major}:${minor}`;
    await this.#unplugUnused();
    const same = (disk: DiskRecord) => disk.host === host && disk.writable === writable;
    const found = this.#disks.find(same);
    const others = this.#disks.filter((disk) => disk !== found);
    // Should lightvmd die before this is written down, the next one finds a disk of nobody.
    const options = { serial: `host-${host}`, writable };
    const deviceId = found?.deviceId ?? (await this.#vmDisks.plug(fd, hostPath, options));
    const containers = [...new Set([...(found?.containers ?? []), containerId])];
    this.#write([...others, { host, writable, deviceId, containers }]);
    return deviceId;
  }

  async #unplugUnused(): Promise<void> {
    for (const disk of this.#disks.filter(({ containers }) => containers.length === 0)) {
      await this.#vmDisks.unplug(disk.deviceId);
      this.#write(this.#disks.filter(({ deviceId }) => deviceId !== disk.deviceId));
    }
  }

  #write(disks: readonly DiskRecord[]): void {
    this.#note(disks);
    this.#disks = disks;
  }
}

/** Below /dev of the guest. */
function guestName({ major, minor }: CharacterDevice, { hostPath }: WantedDevice): string {
  const name = OF_THE_GUEST.get(`${major}:${minor}`);
  if (name !== undefined) return name;
  const known = [...OF_THE_GUEST.values()].join(", ");
  throw new LightvmError(
    "unimplemented",
    `host device "${hostPath}" is a character device (${major}:${minor}): a pod is a VM without ` +
      `the host's drivers; it can have block devices, and of its own kernel ${known}`,
  );
}
