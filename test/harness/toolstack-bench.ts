// SPDX-License-Identifier: Apache-2.0
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type Config, parseConfig } from "../../src/shared/config.ts";
import { LightvmError } from "../../src/shared/errors.ts";
import { silentLogger } from "../../src/shared/logger.ts";
import { type NodePaths, nodePaths } from "../../src/shared/paths.ts";
import { LightvmToolstack } from "../../src/toolstack/lightvm-toolstack.ts";
import type { PodVmSpec } from "../../src/toolstack/pod-vm.ts";
import { identifyProcess, signalProcess } from "../../src/vmm/process-identity.ts";
import { VmmClient } from "../../src/vmm/vmm-client.ts";
import { FakeDeviceHost } from "./fake-device-host.ts";
import { FakeHypervisor } from "./fake-hypervisor.ts";
import { FakeVolumeHost, writeFakeFileServer } from "./fake-volume-host.ts";
import { NodeProcessStarter } from "./node-process-starter.ts";
import type { VmmBehaviour } from "./vmm-behaviour.ts";

export interface BenchOptions {
  readonly bootSeconds?: number;
  readonly vmmSeconds?: number;
  /** The [pool] section of the configuration; off unless given. */
  readonly pool?: object;
}

const FAKE_VMM = resolve(import.meta.dirname, "fake-vmm.ts");

/** A node without Xen: real toolstack, real processes and sockets, fake VMM and hypervisor. */
export class ToolstackBench implements Disposable {
  readonly root: string = mkdtempSync(join(tmpdir(), "lightvm-bench-"));
  readonly hypervisor: FakeHypervisor;
  readonly volumeHost: FakeVolumeHost = new FakeVolumeHost();
  readonly paths: NodePaths;
  readonly signal: AbortSignal = new AbortController().signal;
  readonly #options: BenchOptions;

  constructor(behaviour: VmmBehaviour, options: BenchOptions = {}) {
    this.hypervisor = new FakeHypervisor(join(this.root, "domains"));
    this.#options = options;
    this.paths = nodePaths(this.config());
    mkdirSync(join(this.root, "lib", "bin"), { recursive: true });
    mkdirSync(join(this.root, "lib", "guest"));
    for (const file of [this.paths.kernelUp, this.paths.kernelSmp, this.paths.initramfs]) {
      writeFileSync(file, "");
    }
    const behaviourFile = join(this.root, "behaviour.json");
    const words = [process.execPath, FAKE_VMM, behaviourFile, this.hypervisor.directory];
    writeFileSync(
      this.paths.vmmBinary,
      `#!/bin/sh\nexec ${words.map((word) => `'${word}'`).join(" ")} "$@"\n`,
    );
    chmodSync(this.paths.vmmBinary, 0o755);
    writeFakeFileServer(this.paths.fileServerBinary);
    this.behave(behaviour);
  }

  /** A toolstack as lightvmd makes one when it starts; a second one stands for a restart. */
  toolstack(pool: object = this.#options.pool ?? {}): LightvmToolstack {
    return new LightvmToolstack({
      config: this.config(pool),
      paths: this.paths,
      hypervisor: this.hypervisor,
      processes: new NodeProcessStarter(),
      volumeHost: this.volumeHost,
      deviceHost: new FakeDeviceHost(),
      logger: silentLogger(),
      watchIntervalMs: 20,
    });
  }

  spec(digit: string = "a"): PodVmSpec {
    return { id: digit.repeat(64), name: `pod-${digit}`, vcpus: 1, memoryBytes: 64 * 1024 * 1024 };
  }

  /** The configuration of this node, with that pool. */
  config(pool: object = {}): Config {
    const { bootSeconds = 20, vmmSeconds = 20 } = this.#options;
    return parseConfig(
      {
        run_directory: join(this.root, "run"),
        state_directory: join(this.root, "state"),
        library_directory: join(this.root, "lib"),
        vm: { boot_timeout_seconds: bootSeconds, vmm_timeout_seconds: vmmSeconds },
        pool: { refill_after_seconds: 0, ...pool },
      },
      "the bench",
    );
  }

  /** What VMMs do that are started from now on. */
  behave(behaviour: VmmBehaviour): void {
    writeFileSync(join(this.root, "behaviour.json"), JSON.stringify(behaviour));
  }

  /** A file that FakeDeviceHost takes for a block device. */
  disk(name: string): string {
    const path = join(this.root, `${name}.disk`);
    writeFileSync(path, "");
    return path;
  }

  /** The noxs devices of the disks that a pod's VMM has, but for those of images. */
  async disks(podId: string): Promise<number[]> {
    const socket = join(this.paths.pods, podId, "vmm.sock");
    const wait = { timeoutMs: 20_000 };
    const listener = { guestEvent: () => undefined, processExited: () => undefined };
    const explainLoss = async () => new LightvmError("unavailable", "the VMM is gone");
    const client = await VmmClient.connect(socket, { listener, explainLoss }, wait);
    try {
      const { blockDeviceIds } = await client.call("getState", {}, wait);
      const record = readFileSync(join(this.paths.pods, podId, "shell.json"), "utf8");
      const images: number[] = Object.values(JSON.parse(record).images);
      return blockDeviceIds.filter((id) => !images.includes(id));
    } finally {
      client.close();
    }
  }

  /** Changes what is written down of a pod's VM, to what a lightvmd that was killed would have left. */
  editRecord(podId: string, change: (record: object) => object): void {
    const file = join(this.paths.pods, podId, "shell.json");
    writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(file, "utf8")))));
  }

  /** Everything that a VM can leave behind. */
  leftovers(): string[] {
    return [
      ...this.#list(this.paths.pods),
      ...this.#list(this.paths.shells),
      ...this.#list(this.paths.jails),
      ...this.#list(this.hypervisor.directory).map((domid) => `domain ${domid}`),
      ...this.livingVmms().map((pid) => `VMM ${pid}`),
      ...this.livingFileServers().map((pid) => `file server ${pid}`),
    ];
  }

  /** Pids of fake VMMs that run and listen. */
  livingVmms(): number[] {
    const started = this.#startedVmms();
    return this.#processes().filter((pid) => started.includes(pid));
  }

  /** Pids of fake file servers that run. */
  livingFileServers(): number[] {
    const { fileServerBinary } = this.paths;
    return this.#processes().filter((pid) => commandOf(pid).includes(fileServerBinary));
  }

  [Symbol.dispose](): void {
    // Also those that have only just been started and have not said so yet.
    for (const pid of this.#processes()) {
      const identity = identifyProcess(pid);
      if (identity !== undefined) signalProcess(identity, "SIGKILL");
    }
    rmSync(this.root, { recursive: true, force: true });
  }

  /** Pids of all processes that have something of this bench in their command line. */
  #processes(): number[] {
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    return pids
      .map(Number)
      .filter((pid) => commandOf(pid).some((word) => word.startsWith(this.root)));
  }

  #startedVmms(): number[] {
    try {
      const lines = readFileSync(join(this.root, "started"), "utf8").trim().split("\n");
      return lines.map(Number);
    } catch {
      return [];
    }
  }

  #list(directory: string): string[] {
    try {
      return readdirSync(directory);
    } catch {
      return [];
    }
  }
}

/** The words of a process's command line; none when it has ended. */
function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    return [];
  }
}
