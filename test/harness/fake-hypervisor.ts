// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { LightvmError } from "../../src/shared/errors.ts";
import { waitFor } from "../../src/shared/wait.ts";
import type {
  CpuShare,
  DomainInfo,
  DomainUsage,
  Hypervisor,
  HypervisorInfo,
  ShutdownReason,
} from "../../src/toolstack/hypervisor.ts";
import { encodeFrame } from "../../src/vmm/framing.ts";

const MIB = 1024n * 1024n;

interface DomainFile {
  readonly uuid: string;
  readonly pid: number;
  readonly paused: boolean;
  readonly memory: number;
  readonly shutdown?: ShutdownReason;
}

/** A hypervisor whose domains are files that fake VMM processes write. */
export class FakeHypervisor implements Hypervisor {
  readonly directory: string;
  totalMemoryBytes = 1024n * MIB;
  /** Whether its scheduler knows weights and caps. */
  canCap: boolean = true;
  /** Order of what was done to domains, for assertions. */
  readonly log: string[] = [];

  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true });
  }

  info(): HypervisorInfo {
    const used = this.listDomains().reduce((sum, domain) => sum + domain.memoryBytes, 0n);
    return {
      xenVersion: "4.20.3",
      capabilities: "xen-3.0-x86_64 hvm-3.0-x86_64",
      totalMemoryBytes: this.totalMemoryBytes,
      freeMemoryBytes: this.totalMemoryBytes - used,
      hvm: true,
      hap: true,
      cpus: 2,
    };
  }

  domainsState(): bigint {
    const facts = this.listDomains().map(({ domid, uuid, dying, shutdown }) =>
      [domid, uuid, dying, shutdown].join(),
    );
    const digest = createHash("sha256").update(facts.join(";")).digest();
    return digest.readBigUInt64LE();
  }

  listDomains(): DomainInfo[] {
    return readdirSync(this.directory).map((name) => {
      const { uuid, paused, memory, shutdown } = this.#read(Number(name));
      return {
        domid: Number(name),
        uuid,
        paused,
        dying: false,
        shutdown,
        memoryBytes: BigInt(memory),
        vcpus: 1,
        cpuNanoseconds: 0n,
      };
    });
  }

  domainUsages(): ReadonlyMap<number, DomainUsage> {
    return new Map(this.listDomains().map((domain) => [domain.domid, domain]));
  }

  /** A domain that somebody else has made. */
  addDomain(domid: number, uuid: string, memory: number = 0): void {
    const file: DomainFile = { uuid, pid: 0, paused: false, memory };
    writeFileSync(join(this.directory, String(domid)), JSON.stringify(file));
  }

  unpauseDomain(domid: number): bigint {
    process.kill(this.#pause(domid, false), "SIGUSR2");
    return 0n;
  }

  pauseDomain(domid: number): void {
    this.#pause(domid, true);
  }

  limitMemory(domid: number, bytes: bigint): void {
    this.#read(domid);
    this.log.push(`limit domain to ${bytes / MIB} MiB`);
  }

  capsCpu(): boolean {
    return this.canCap;
  }

  shareCpu(domid: number, { capPercent, weight }: CpuShare): void {
    this.#read(domid);
    if (this.canCap) this.log.push(`weigh domain ${weight}, at most ${capPercent} %`);
  }

  async destroyDomain(domid: number): Promise<void> {
    const { pid } = this.#read(domid);
    this.log.push(`destroy while VMM ${isAlive(pid) ? "lives" : "is gone"}`);
    rmSync(join(this.directory, String(domid)));
  }

  async sendFiles(
    socketPath: string,
    hello: Buffer,
    fds: readonly number[],
    timeoutMs: number,
  ): Promise<void> {
    const files = fds.map(describeFile);
    const socket = connect(socketPath);
    try {
      socket.write(hello);
      socket.write(encodeFrame(Buffer.from(JSON.stringify(files))));
      const answered = Promise.race([once(socket, "data"), once(socket, "close").then(hungUp)]);
      await waitFor(answered, "the fake hand-over", { timeoutMs });
    } catch (cause) {
      throw new LightvmError("unavailable", `cannot hand files to ${socketPath}`, { cause });
    } finally {
      socket.destroy();
    }
  }

  /** Returns the pid of the VMM. */
  #pause(domid: number, paused: boolean): number {
    const domain = this.#read(domid);
    writeFileSync(join(this.directory, String(domid)), JSON.stringify({ ...domain, paused }));
    return domain.pid;
  }

  #read(domid: number): DomainFile {
    return JSON.parse(readFileSync(join(this.directory, String(domid)), "utf8")) as DomainFile;
  }
}

/** Descriptors cannot go over a socket of Node's: the fake VMM opens the file again. */
function describeFile(fd: number): { path: string; append: boolean } {
  const flags = /flags:\s*(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
  const append = (Number.parseInt(flags ?? "0", 8) & 0o2000) !== 0;
  return { path: readlinkSync(`/proc/self/fd/${fd}`), append };
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

function hungUp(): never {
  throw new Error("the fake VMM hung up");
}
