// SPDX-License-Identifier: Apache-2.0
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Attachment, Network, NetworkRequest, Tap } from "../../src/network/network.ts";
import { LightvmError } from "../../src/shared/errors.ts";

/** A network whose pods are files, so that the next lightvmd finds them too. */
export class FakeNetwork implements Network {
  readonly requests: NetworkRequest[] = [];
  podCidr = "";
  /** Set: what keeps pods out of the network. */
  missing: string | undefined;
  /** Set: attaching fails with this, half done. */
  failure: LightvmError | undefined;
  readonly #directory: string;
  /** While this file is there, nothing can be detached. */
  readonly #stuck: string;
  readonly #checked: string;

  constructor(root: string) {
    this.#directory = join(root, "network");
    this.#stuck = join(root, "network-is-stuck");
    this.#checked = join(root, "network-checked");
    for (const directory of [this.#directory, this.#checked]) {
      mkdirSync(directory, { recursive: true });
    }
  }

  /** Detaching fails from now on, or does no longer; of every process with the same root. */
  set stuck(on: boolean) {
    if (on) writeFileSync(this.#stuck, "");
    else rmSync(this.#stuck);
  }

  /** Pods that are in it, or half in it. */
  attached(): string[] {
    return readdirSync(this.#directory);
  }

  obstacle(): string | undefined {
    return this.missing;
  }

  async attach(request: NetworkRequest): Promise<Attachment> {
    if (this.missing !== undefined) throw new LightvmError("failed-precondition", this.missing);
    this.requests.push(request);
    writeFileSync(join(this.#directory, request.id), "");
    if (this.failure !== undefined) throw this.failure;
    const dns = { servers: ["10.0.0.53"], searches: [], options: [] };
    return { addresses: ["10.0.0.2", "fd00::2"], dns, steps: [] };
  }

  async openTap(id: string, offloads: boolean): Promise<Tap> {
    if (!existsSync(join(this.#directory, id))) throw new Error(`${id} is not attached`);
    const fd = openSync("/dev/null", "r");
    return {
      fd,
      mac: Buffer.from("020000000001", "hex"),
      mtu: 1500,
      offloads,
      addresses: ["10.0.0.2/24", "fd00::2/64"],
      routes: [],
      [Symbol.dispose]: () => closeSync(fd),
    };
  }

  /** Pods whose network was looked at, by whatever process. */
  checked(): string[] {
    return readdirSync(this.#checked);
  }

  async check(id: string): Promise<void> {
    writeFileSync(join(this.#checked, id), "");
  }

  async detach(id: string): Promise<void> {
    if (existsSync(this.#stuck)) throw new LightvmError("internal", "the network is stuck");
    rmSync(join(this.#directory, id), { force: true });
  }

  async collectGarbage(known: ReadonlySet<string>): Promise<void> {
    for (const id of this.attached()) if (!known.has(id)) await this.detach(id);
  }

  setPodCidr(cidr: string): void {
    this.podCidr = cidr;
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
