// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { parseConfig } from "../../../../src/shared/config.ts";
import { createLogger } from "../../../../src/shared/logger.ts";
import { loadAddon } from "../../../../src/shared/native-addon.ts";
import { NativeProcessStarter } from "../../../../src/shared/native-process-starter.ts";
import { nodePaths } from "../../../../src/shared/paths.ts";
import { LightvmToolstack } from "../../../../src/toolstack/lightvm-toolstack.ts";
import { NativeDeviceHost } from "../../../../src/toolstack/native-device-host.ts";
import { NativeHypervisor } from "../../../../src/toolstack/native-hypervisor.ts";
import { NativeVolumeHost } from "../../../../src/toolstack/native-volume-host.ts";
import type { BreakdownStep, PodVm } from "../../../../src/toolstack/pod-vm.ts";
import type { ShellLevel } from "../../../../src/toolstack/shell-record.ts";
import type { Steps } from "../../report/steps.ts";
import { untilHoldsOnly } from "../pool-contents.ts";

const MIB = 2 ** 20;
/** How often a pool that is being filled is looked at, and how long; milliseconds. */
const LOOK_MS = 50;

/** What boots in a VM: our Linux with its agent, or the least unikernel. */
export type GuestKind = "tinyx" | "noop";

export const MEMORY_BYTES: Readonly<Record<GuestKind, number>> = { tinyx: 64 * MIB, noop: 2 * MIB };
const FIRST_UID: Readonly<Record<GuestKind, number>> = {
  tinyx: 2_100_000_000,
  noop: 2_200_000_000,
};
const NOOP_KERNEL = "/usr/lib/lightvm/guest/noop";

/** A VM that was made, and where the time went. */
export interface Made {
  readonly vm: PodVm;
  readonly steps: Steps;
}

/**
 * The toolstack as lightvmd has it, without what a CRI call does beside it: no records of pods, no
 * network plugins that would want the only CPU at the same time. For one kind of guest.
 */
export class BareToolstack {
  readonly toolstack: LightvmToolstack;
  readonly #kind: GuestKind;
  readonly #settings: object;
  readonly #signal = new AbortController().signal;

  constructor(kind: GuestKind) {
    this.#kind = kind;
    this.#settings = {
      run_directory: `/run/lightvm-bench/${kind}`,
      state_directory: `/var/lib/lightvm/bench/${kind}`,
      vm: {
        first_uid: FIRST_UID[kind],
        memory_mib: 64,
        boot_timeout_seconds: 60,
        vmm_timeout_seconds: 60,
      },
    };
    const config = this.#configWith({});
    for (const directory of [config.run_directory, config.state_directory]) {
      mkdirSync(directory, { recursive: true, mode: 0o711 });
    }
    const paths = nodePaths(config);
    const addon = loadAddon(paths.addon);
    this.toolstack = new LightvmToolstack({
      config,
      paths,
      hypervisor: new NativeHypervisor(addon),
      processes: new NativeProcessStarter(addon),
      volumeHost: new NativeVolumeHost(addon),
      deviceHost: new NativeDeviceHost(),
      logger: createLogger({ level: "info" }),
    });
    this.toolstack.start();
  }

  /** Makes a VM and waits for its first answer. */
  async make(): Promise<Made> {
    using _turn = await this.toolstack.turn(this.#signal);
    const id = randomBytes(32).toString("hex");
    const spec = { id, name: "bench", vcpus: 1, memoryBytes: MEMORY_BYTES[this.#kind] };
    const vm =
      this.#kind === "tinyx"
        ? await this.toolstack.create(spec, this.#signal)
        : await this.#makeNoop({ ...spec, unikernel: true });
    return { vm, steps: vm.breakdown.map(toStep) };
  }

  /** Has one shell of this level wait; undefined = none. */
  async keep(level: ShellLevel | undefined): Promise<void> {
    if (level === undefined) {
      this.toolstack.reconfigure(this.#configWith({ size: 0 }).pool);
    } else if (this.#kind === "tinyx") {
      const flavors = [{ memory_mib: MEMORY_BYTES.tinyx / MIB, level, size: 1 }];
      this.toolstack.reconfigure(this.#configWith({ size: 0, flavors }).pool);
    } else {
      // Too small to be declared: the pool learns it from what is asked for.
      this.toolstack.reconfigure(this.#configWith({ size: 1, level }).pool);
      await (await this.make()).vm.destroy();
    }
    await this.#untilWaiting(level);
  }

  async close(): Promise<void> {
    await this.keep(undefined);
    await this.toolstack.close();
  }

  async #makeNoop(spec: Parameters<LightvmToolstack["prepareShell"]>[0]): Promise<PodVm> {
    const shell = await this.toolstack.prepareShell(spec, this.#signal);
    const { run_directory: run } = this.#configWith({});
    const unikernel = {
      kernel: NOOP_KERNEL,
      commandLine: "",
      signOfLife: "sysctl",
      containerId: spec.id,
      logPath: `${run}/logs/${spec.id}.log`,
    } as const;
    return await shell.boot(unikernel, this.#signal);
  }

  /** Until the shell that is wanted waits, and nothing else does or is being made or destroyed. */
  async #untilWaiting(level: ShellLevel | undefined): Promise<void> {
    const unikernel = this.#kind === "noop";
    const vm = { vcpus: 1, memoryBytes: MEMORY_BYTES[this.#kind], unikernel };
    await untilHoldsOnly({ vm, level }, LOOK_MS, async () => this.toolstack.pool());
  }

  #configWith(pool: object) {
    return parseConfig({ ...this.#settings, pool }, "the benchmark's configuration");
  }
}

function toStep({ bytesCopied, nanoseconds, ...rest }: BreakdownStep) {
  return { ...rest, nanoseconds: Number(nanoseconds), bytesCopied: Number(bytesCopied) };
}
