// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, openSync, readFileSync } from "node:fs";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer as createTcpServer } from "node:net";
import { join } from "node:path";
import { cacheDirectory } from "../../native/build/cache.ts";
import { run } from "../../native/build/run.ts";
import { LightvmError } from "../../src/shared/errors.ts";
import { makeDataDisk, packProject } from "./disks.ts";
import { DOM0_RELEASES, dom0Image, type XenRelease } from "./dom0.ts";
import { emulator } from "./emulator.ts";
import { holdsFiles, listeningPort } from "./process.ts";
import { type Machine, qemuCommand } from "./qemu.ts";
import { listenForReady, type ReadySignal } from "./ready.ts";
import { type CommandResult, type ExecOptions, execute, sshArguments } from "./ssh.ts";
import { type GoProgram, toolsDisk } from "./tools.ts";

export interface BoxOptions {
  /** Several boxes may run side by side, each under a name of its own. */
  readonly name?: string;
  /** Xen release; "4.20" (Debian 13) unless told. */
  readonly xen?: XenRelease;
  /** Directory that becomes /usr/lib/lightvm. */
  readonly library: string;
  /** Debian packages that this dom0 has beside what every one has. */
  readonly packages?: readonly string[];
  /** crictl unless told. */
  readonly tools?: readonly GoProgram[];
  readonly memoryMib?: number;
  readonly dom0MemoryMib?: number;
  /** See Machine.virtualTime. */
  readonly virtualTime?: boolean;
  /** From power-on to dom0's "ready"; milliseconds. */
  readonly bootTimeoutMs?: number;
}

const DATA_DISK_MIB = 8192;

/** A real Xen with a Debian dom0 in QEMU. Everything of it is in one directory of the cache. */
export class Box {
  readonly directory: string;

  private constructor(name: string) {
    this.directory = join(cacheDirectory, "box", name);
  }

  /** The box of that name, which may or may not run. */
  static named(name = "default"): Box {
    return new Box(name);
  }

  /** Boots a box. One of the same name that still runs is powered off first. */
  static async up(options: BoxOptions): Promise<Box> {
    const box = new Box(options.name ?? "default");
    await box.down();
    await box.#boot(options);
    return box;
  }

  /** What dom0, Xen and the guests' kernels said on the machine's serial port. */
  get consoleLog(): string {
    return join(this.directory, "console.log");
  }

  /** True while the machine runs. */
  get running(): boolean {
    return this.#pid() !== undefined;
  }

  /** Runs a shell command in dom0. */
  async exec(command: string, options?: ExecOptions): Promise<CommandResult> {
    this.#requireRunning();
    return await execute(this.#ssh(), command, options);
  }

  /**
   * Makes a TCP port of dom0's loopback, or the UNIX socket of that path, reachable here; returns the
   * port on 127.0.0.1.
   */
  async forward(remote: number | string): Promise<number> {
    const localPort = await freePort();
    const target = typeof remote === "number" ? `127.0.0.1:${remote}` : remote;
    const forwarding = `127.0.0.1:${localPort}:${target}`;
    // Opens the shared connection if it is not there yet.
    await this.exec("true");
    await run(["ssh", "-O", "forward", "-L", forwarding, ...this.sshArguments()]);
    return localPort;
  }

  /** Arguments for an `ssh` that a person uses. Throws "failed-precondition" without a machine. */
  sshArguments(): string[] {
    this.#requireRunning();
    return sshArguments(this.#ssh());
  }

  /** Cuts the power of a machine that runs, and boots it again with the disks that it had. */
  async powerCycle(): Promise<void> {
    this.#requireRunning();
    await this.down();
    const machine = await readFile(join(this.directory, "machine.json"), "utf8");
    await this.#powerOn(JSON.parse(machine) as Machine);
  }

  /** Powers the machine off, at once. What was on its data disk goes with the next `up`. */
  async down(): Promise<void> {
    const pid = this.#pid();
    if (pid === undefined) return;
    if (existsSync(this.#ssh().controlSocket)) {
      // Ends the connection that the commands shared; it may be gone already.
      await run(["ssh", "-O", "exit", ...this.sshArguments()]).catch(() => undefined);
    }
    process.kill(pid, "SIGKILL");
    while (holdsFiles(pid)) await new Promise((resolve) => setImmediate(resolve));
    await rm(join(this.directory, "qemu.pid"), { force: true });
  }

  #requireRunning(): void {
    if (this.running) return;
    const what = "the box is not running; start it with `npm run box -- up`";
    throw new LightvmError("failed-precondition", what);
  }

  #ssh() {
    const port = Number(readFileSync(join(this.directory, "ssh.port"), "utf8"));
    return {
      port,
      keyFile: join(this.directory, "key"),
      controlSocket: join(this.directory, "ssh.sock"),
    };
  }

  /** Of the QEMU that this directory belongs to, undefined when it has ended. */
  #pid(): number | undefined {
    try {
      const pid = Number(readFileSync(join(this.directory, "qemu.pid"), "utf8"));
      const commandLine = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return commandLine.includes(this.directory) ? pid : undefined;
    } catch {
      // No pid file, or no such process.
      return undefined;
    }
  }

  async #boot(options: BoxOptions): Promise<void> {
    const release = DOM0_RELEASES[options.xen ?? "4.20"];
    const image = await dom0Image(release, options.packages);
    const tools = await toolsDisk(release.debian, options.tools);
    await rm(this.directory, { recursive: true, force: true });
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const file = (name: string) => join(this.directory, name);
    await run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "box", "-f", file("key")]);
    const authorizedKey = await readFile(file("key.pub"), "utf8");
    const { library } = options;
    await packProject({ library, authorizedKey }, file("project.erofs"));
    await makeDataDisk(file("data.img"), DATA_DISK_MIB);
    const machine: Machine = {
      emulator: await emulator(),
      image,
      tools,
      project: file("project.erofs"),
      data: file("data.img"),
      memoryMib: options.memoryMib ?? 4096,
      dom0MemoryMib: options.dom0MemoryMib ?? 2048,
      readySocket: file("ready.sock"),
      consoleLog: this.consoleLog,
      pidFile: file("qemu.pid"),
      virtualTime: options.virtualTime ?? false,
    };
    await writeFile(file("machine.json"), JSON.stringify(machine));
    await this.#powerOn(machine, options.bootTimeoutMs);
  }

  async #powerOn(machine: Machine, bootTimeoutMs = 180_000): Promise<void> {
    using ready = await listenForReady(machine.readySocket);
    await this.#awaitReady(ready, this.#spawn(qemuCommand(machine)), bootTimeoutMs);
    const pid = Number(await readFile(machine.pidFile, "utf8"));
    await writeFile(join(this.directory, "ssh.port"), String(listeningPort(pid)));
  }

  #spawn([program = "", ...args]: readonly string[]): Promise<string> {
    const log = openSync(join(this.directory, "qemu.log"), "a");
    const child = spawn(program, args, {
      detached: true,
      stdio: ["ignore", log, log],
    });
    child.unref();
    return once(child, "exit").then(([code, signal]) => `QEMU ended with ${signal ?? code}`);
  }

  async #awaitReady(
    ready: ReadySignal,
    qemuEnded: Promise<string>,
    timeoutMs: number,
  ): Promise<void> {
    const deadline = AbortSignal.timeout(timeoutMs);
    const gone = qemuEnded.then((how) => Promise.reject(new Error(how)));
    try {
      await Promise.race([ready.wait(deadline), gone]);
    } catch (cause) {
      const said = existsSync(this.consoleLog) ? readFileSync(this.consoleLog, "utf8") : "";
      const tail = said.trimEnd().split("\n").slice(-25).join("\n");
      const qemu = readFileSync(join(this.directory, "qemu.log"), "utf8");
      const what = `the box did not come up; ${this.consoleLog} ends with:\n${tail}\n${qemu}`;
      throw new LightvmError("unavailable", what, { cause });
    } finally {
      gone.catch(() => undefined);
    }
  }
}

/** A TCP port of 127.0.0.1 that nobody uses. */
async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("no TCP address");
  server.close();
  await once(server, "close");
  return address.port;
}
