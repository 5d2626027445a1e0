// SPDX-License-Identifier: Apache-2.0
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type {
  Credentials,
  Image,
  ImageConfig,
  ImageFsInfo,
  Images,
  PulledImage,
  PullOptions,
} from "../../src/image/images.ts";
import { LightvmError } from "../../src/shared/errors.ts";

const CONFIG: ImageConfig = {
  user: "",
  entrypoint: [],
  command: ["sleep"],
  environment: ["PATH=/bin", "FROM=image"],
  workingDirectory: "/srv",
  stopSignal: "",
  volumes: [],
  exposedPorts: [],
  labels: {},
};

const NOOP: ImageConfig = {
  ...CONFIG,
  command: [],
  labels: {
    "io.lightvm.unikernel.kernel": "/noop",
    "io.lightvm.unikernel.cmdline": "name={hostname} ip={address}",
    "io.lightvm.unikernel.memory": "2Mi",
  },
};

/** Images without a registry: every pull of "registry.test/…" succeeds. Those named noop are unikernels. */
export class FakeImages implements Images {
  /** Of the last pull. */
  lastCredentials: Credentials | undefined;
  readonly #directory: string;
  readonly #images = new Map<string, Image>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  async pull(reference: string, options: PullOptions = {}): Promise<PulledImage> {
    this.lastCredentials = options.credentials;
    if (!reference.startsWith("registry.test/")) {
      throw new LightvmError("unavailable", `no registry answers for ${reference}`);
    }
    const digest = Buffer.from(reference).toString("hex").padEnd(64, "0").slice(-64);
    const erofsPath = join(this.#directory, `${digest}.erofs`);
    writeFileSync(erofsPath, "");
    const [name = ""] = reference.split(":");
    const isUnikernel = name.endsWith("/noop");
    const image: Image = {
      id: `sha256:${digest}`,
      repoTags: [reference],
      repoDigests: [`${name}@sha256:${digest}`],
      size: 4096,
      erofsPath,
      kernelPath: isUnikernel ? erofsPath : undefined,
      config: isUnikernel ? NOOP : CONFIG,
      pulledAt: 0,
    };
    this.#images.set(image.id, image);
    return image;
  }

  get(referenceOrId: string): Image | undefined {
    return this.list(referenceOrId)[0];
  }

  list(referenceOrId?: string): readonly Image[] {
    return [...this.#images.values()].filter(
      ({ id, repoDigests, repoTags }) =>
        referenceOrId === undefined || [id, ...repoTags, ...repoDigests].includes(referenceOrId),
    );
  }

  async remove(referenceOrId: string): Promise<void> {
    for (const { id } of this.list(referenceOrId)) this.#images.delete(id);
  }

  async fsInfo(): Promise<ImageFsInfo> {
    return { timestamp: 1, mountpoint: this.#directory, usedBytes: 4096, usedInodes: 1 };
  }
}
