// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";
import { type Blob, INDEX_TYPE, MANIFEST_TYPE, type OciImage } from "./oci-image.ts";

/** Who may push and pull, where a registry asks. */
export interface RegistryAccount {
  readonly username: string;
  readonly password: string;
  /** The same password as bcrypt writes it, the only form that the registry reads. */
  readonly passwordHash: string;
}

/** The one account of registries in tests. */
export const ACCOUNT: RegistryAccount = {
  username: "somebody",
  password: "correct horse",
  passwordHash: "$2b$04$qBnWHWhq8GqMdMdO0ek3YOCtxg5jgSVgaKC9i35FUpgjxek6NjKKu",
};

export interface RegistryOptions {
  /** On the loopback of the box; 5000 unless told. */
  readonly port?: number;
  /** Absent = anybody may. */
  readonly account?: RegistryAccount;
}

/** Debian's docker-registry in the box, reached by pods' node as 127.0.0.1:PORT. */
export class Registry implements AsyncDisposable {
  /** What an image reference in the box starts with. */
  readonly host: string;
  readonly #box: Box;
  readonly #directory: string;
  readonly #headers: Record<string, string>;
  /** Digest → a repository that has the blob. */
  readonly #uploaded = new Map<string, string>();
  #url = "";

  private constructor(box: Box, { port = 5000, account }: RegistryOptions) {
    this.host = `127.0.0.1:${port}`;
    this.#box = box;
    this.#directory = `/var/lib/lightvm/registry-${port}`;
    const login = account && btoa(`${account.username}:${account.password}`);
    this.#headers = login === undefined ? {} : { authorization: `Basic ${login}` };
  }

  static async start(box: Box, options: RegistryOptions = {}): Promise<Registry> {
    const registry = new Registry(box, options);
    const { account, port = 5000 } = options;
    const directory = registry.#directory;
    await box.exec(`mkdir -p ${directory}`);
    if (account !== undefined) {
      const input = `${account.username}:${account.passwordHash}\n`;
      await box.exec(`cat >${directory}/accounts`, { input });
    }
    const auth = account && `auth: { htpasswd: { realm: box, path: ${directory}/accounts } }`;
    const input = [
      "version: 0.1",
      `storage: { filesystem: { rootdirectory: ${directory} }, delete: { enabled: true } }`,
      `http: { addr: ${registry.host} }`,
      "log: { level: info, formatter: text }",
      auth ?? "",
    ].join("\n");
    await box.exec(`cat >${directory}/config.yml`, { input });
    await registry.resume();
    registry.#url = `http://127.0.0.1:${await box.forward(port)}`;
    return registry;
  }

  /** Shell command that ends it at once. */
  get killCommand(): string {
    return `kill -KILL "$(cat ${this.#directory}/pid)"`;
  }

  /** Starts it again, over what it has stored. */
  async resume(): Promise<void> {
    const directory = this.#directory;
    const { code, stderr } = await this.#box.exec(`
      setsid docker-registry serve ${directory}/config.yml </dev/null >${directory}/log 2>&1 &
      echo $! >${directory}/pid
      # Ends with the log line, or with the process.
      timeout 240 tail --pid=$! -n +1 -f ${directory}/log | grep -q -m 1 "listening on" && exit
      tail -n 5 ${directory}/log >&2; exit 1`);
    if (code !== 0) throw new LightvmError("unavailable", `no registry in the box: ${stderr}`);
  }

  /** Uploads an image; returns the reference by which the box pulls it. */
  async push(repository: string, tag: string, image: OciImage): Promise<string> {
    for (const blob of image.blobs) await this.#upload(repository, blob);
    return await this.#putManifest(repository, tag, MANIFEST_TYPE, image.manifest.bytes);
  }

  /** Uploads an image for each architecture, and an index that leads to them. */
  async pushIndex(
    repository: string,
    tag: string,
    images: Readonly<Record<string, OciImage>>,
  ): Promise<string> {
    const manifests = [];
    for (const [architecture, image] of Object.entries(images)) {
      const { bytes, digest } = image.manifest;
      await this.push(repository, digest, image);
      const platform = { architecture, os: "linux" };
      manifests.push({ mediaType: MANIFEST_TYPE, digest, size: bytes.length, platform });
    }
    const index = { schemaVersion: 2, mediaType: INDEX_TYPE, manifests };
    const bytes = Buffer.from(JSON.stringify(index));
    return await this.#putManifest(repository, tag, INDEX_TYPE, bytes);
  }

  /** How often a blob of a repository has been fetched from it. */
  async downloads(repository: string, digest: string): Promise<number> {
    const request = `GET /v2/${repository}/blobs/${digest} `;
    const { stdout } = await this.#box.exec(`grep -c '"${request}' ${this.#directory}/log`);
    return Number(stdout);
  }

  /** Changes the first byte of a blob where the registry keeps it: what it serves is a lie. */
  async damage({ digest }: Blob): Promise<void> {
    const hex = digest.slice("sha256:".length);
    const folder = `${this.#directory}/docker/registry/v2/blobs/sha256`;
    const file = `${folder}/${hex.slice(0, 2)}/${hex}/data`;
    const { code, stderr } = await this.#box.exec(
      `test -f ${file} && printf X | dd of=${file} conv=notrunc status=none`,
    );
    if (code !== 0) throw new LightvmError("not-found", `no such blob to damage: ${stderr}`);
  }

  async #putManifest(
    repository: string,
    tag: string,
    type: string,
    bytes: Uint8Array,
  ): Promise<string> {
    const response = await fetch(`${this.#url}/v2/${repository}/manifests/${tag}`, {
      method: "PUT",
      headers: { ...this.#headers, "content-type": type },
      body: Buffer.from(bytes),
    });
    if (!response.ok) throw await refusal(response);
    return `${this.host}/${repository}:${tag}`;
  }

  async #upload(repository: string, { digest, bytes }: Blob): Promise<void> {
    const from = this.#uploaded.get(digest);
    const mount = from === undefined ? "" : `?${new URLSearchParams({ mount: digest, from })}`;
    const uploads = `${this.#url}/v2/${repository}/blobs/uploads/${mount}`;
    const start = await fetch(uploads, { method: "POST", headers: this.#headers });
    if (start.status === 201) return;
    const location = start.headers.get("location");
    if (!start.ok || location === null) throw await refusal(start);
    // The registry names itself by the address that it was asked at, or only by path.
    const target = new URL(location, this.#url);
    target.searchParams.set("digest", digest);
    const response = await fetch(target, {
      method: "PUT",
      headers: { ...this.#headers, "content-type": "application/octet-stream" },
      body: Buffer.from(bytes),
    });
    if (!response.ok) throw await refusal(response);
    this.#uploaded.set(digest, repository);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#box.exec(`${this.killCommand}; rm -rf ${this.#directory}`);
  }
}

async function refusal(response: Response): Promise<LightvmError> {
  const text = await response.text();
  return new LightvmError("unavailable", `the registry answered ${response.status}: ${text}`);
}
