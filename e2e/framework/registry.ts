// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";
import { type Blob, MANIFEST_TYPE, type OciImage } from "./oci-image.ts";

const PORT = 5000;

/** Started by the init program that runs in the box; its log is in /run. */
const START = `
mkdir -p /run/registry
cat >/run/registry/config.yml <<'EOF'
version: 0.1
storage: { filesystem: { rootdirectory: /var/lib/lightvm/registry }, delete: { enabled: true } }
http: { addr: 127.0.0.1:${PORT} }
log: { level: info, formatter: text }
EOF
setsid docker-registry serve /run/registry/config.yml </dev/null >/run/registry/log 2>&1 &
echo $! >/run/registry/pid
timeout 60 sh -c 'tail -n +1 -f /run/registry/log | grep -q -m 1 "listening on"'
`;

/** Debian's docker-registry in the box, reached by pods' node as 127.0.0.1:5000. */
export class Registry implements AsyncDisposable {
  /** What an image reference in the box starts with. */
  readonly host = `127.0.0.1:${PORT}`;
  readonly #box: Box;
  readonly #url: string;
  /** Digest → a repository that has the blob. */
  readonly #uploaded = new Map<string, string>();

  private constructor(box: Box, localPort: number) {
    this.#box = box;
    this.#url = `http://127.0.0.1:${localPort}`;
  }

  static async start(box: Box): Promise<Registry> {
    const { code, stderr } = await box.exec(START);
    if (code !== 0) throw new LightvmError("unavailable", `no registry in the box: ${stderr}`);
    return new Registry(box, await box.forward(PORT));
  }

  /** Uploads an image; returns the reference by which the box pulls it. */
  async push(repository: string, tag: string, image: OciImage): Promise<string> {
    for (const blob of image.blobs) await this.#upload(repository, blob);
    const response = await fetch(`${this.#url}/v2/${repository}/manifests/${tag}`, {
      method: "PUT",
      headers: { "content-type": MANIFEST_TYPE },
      body: Buffer.from(image.manifest.bytes),
    });
    if (!response.ok) throw await refusal(response);
    return `${this.host}/${repository}:${tag}`;
  }

  /** Changes the first byte of a blob where the registry keeps it: what it serves is a lie. */
  async damage({ digest }: Blob): Promise<void> {
    const hex = digest.slice("sha256:".length);
    const folder = "/var/lib/lightvm/registry/docker/registry/v2/blobs/sha256";
    const file = `${folder}/${hex.slice(0, 2)}/${hex}/data`;
    const { code, stderr } = await this.#box.exec(
      `test -f ${file} && printf X | dd of=${file} conv=notrunc status=none`,
    );
    if (code !== 0) throw new LightvmError("not-found", `no such blob to damage: ${stderr}`);
  }

  async #upload(repository: string, { digest, bytes }: Blob): Promise<void> {
    const from = this.#uploaded.get(digest);
    const mount = from === undefined ? "" : `?${new URLSearchParams({ mount: digest, from })}`;
    const uploads = `${this.#url}/v2/${repository}/blobs/uploads/${mount}`;
    const start = await fetch(uploads, { method: "POST" });
    if (start.status === 201) return;
    const location = start.headers.get("location");
    if (!start.ok || location === null) throw await refusal(start);
    // The registry names itself by the address that it was asked at, or only by path.
    const target = new URL(location, this.#url);
    target.searchParams.set("digest", digest);
    const response = await fetch(target, {
      method: "PUT",
      headers: { "content-type": "application/octet-stream" },
      body: Buffer.from(bytes),
    });
    if (!response.ok) throw await refusal(response);
    this.#uploaded.set(digest, repository);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#box.exec('kill "$(cat /run/registry/pid)"; rm -rf /var/lib/lightvm/registry');
  }
}

async function refusal(response: Response): Promise<LightvmError> {
  const text = await response.text();
  return new LightvmError("unavailable", `the registry answered ${response.status}: ${text}`);
}
