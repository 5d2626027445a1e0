// SPDX-License-Identifier: Apache-2.0

/** One repository of a registry, as a pull sees it: OCI distribution specification 1.1. */
import type { Config, RegistryConfig } from "../../shared/config.ts";
import { LightvmError } from "../../shared/errors.ts";
import { throwIfCancelled } from "../../shared/wait.ts";
import type { Credentials } from "../images.ts";
import { formatReference, type Reference } from "../reference.ts";
import { sha256, verifyBytes } from "./digest.ts";
import { Endpoint, type EndpointOptions } from "./endpoint.ts";
import { type Capability, type HostSettings, type RegistryHosts, readHosts } from "./hosts-file.ts";
import { DEFAULT_TLS, HttpClient, type HttpResponse, readAll } from "./http.ts";
import {
  chooseEntry,
  type Descriptor,
  type ImageManifest,
  MANIFEST_ACCEPT,
  MAX_MANIFEST_BYTES,
  parseManifest,
  type RawManifest,
} from "./manifest.ts";

/** The rest of a blob. */
export interface BlobBody {
  /** Where `chunks` starts in the blob: the offset asked for, or 0 if the server cannot do that. */
  readonly offset: number;
  /**
   * Exactly the bytes from `offset` to the descriptor's size, or it throws: "unavailable" (cut off
   * or silent; go on at what came so far), "data-loss" (longer than the descriptor says),
   * "cancelled". The digest is for the reader to verify, who alone saw what came before. Leaving
   * the loop early closes the connection.
   */
  readonly chunks: AsyncIterable<Uint8Array>;
}

export interface Registry extends Disposable {
  /**
   * Looks the reference up and follows an index to the image for linux/amd64. Everything is
   * verified against its digest. Throws "not-found", "unauthenticated", "unavailable", "data-loss",
   * "unimplemented" (no such platform, no image, schema 1), "invalid-argument" (the server calls
   * the request wrong), "failed-precondition" (CA file), "cancelled".
   */
  image(signal?: AbortSignal): Promise<ImageManifest>;
  /** The image's configuration, whole (at most 4 MiB) and verified. Throws as `image` does. */
  config(manifest: ImageManifest, signal?: AbortSignal): Promise<Uint8Array>;
  /**
   * Opens a blob at `offset` (0 ≤ offset ≤ size). Throws as `image` does. `signal` also ends the
   * reading of the body.
   */
  blob(descriptor: Descriptor, offset: number, signal?: AbortSignal): Promise<BlobBody>;
  /** Closes all connections, bodies that are still being read included. */
  [Symbol.dispose](): void;
}

export interface RegistryOptions {
  /** Longest silence of a server, milliseconds. */
  readonly silenceMs?: number | undefined;
}

/** Longest silence of a server unless the caller says otherwise, milliseconds. */
const DEFAULT_SILENCE_MS = 30_000;
/** Largest image configuration that is read, bytes. */
const MAX_CONFIG_BYTES = 4 * 1024 * 1024;
/** Indexes in indexes that are followed. */
const MAX_INDEX_DEPTH = 3;
/** Where the default registry really lives. */
const HOST_ALIASES: Readonly<Record<string, string>> = { "docker.io": "registry-1.docker.io" };
const NO_CONFIG: RegistryConfig = { mirrors: [], plain_http: false };

/** Prepares to pull `reference`; talks to nobody yet. Dispose of it when the pull is over. */
export function openRegistry(
  config: Config["image"],
  reference: Reference,
  credentials?: Credentials,
  options: RegistryOptions = {},
): Registry {
  const { host, repository } = reference;
  const silenceMs = options.silenceMs ?? DEFAULT_SILENCE_MS;
  const hosts = hostsOf(config, host);
  const endpoint = (settings: HostSettings, more: Partial<EndpointOptions>) =>
    new Endpoint({
      ...settings,
      client: new HttpClient({ tls: settings, silenceMs }),
      repository,
      ...more,
    });
  // The credentials are for the registry; whoever runs a mirror of it has no right to them.
  const mirrors = hosts.mirrors.map((settings) => endpoint(settings, { mirrorOf: host }));
  return new RemoteRegistry([...mirrors, endpoint(hosts.server, { credentials })], reference);
}

/** The node's own configuration of a registry goes before its hosts.toml. */
function hostsOf(
  config: Config["image"],
  host: string,
): Required<RegistryHosts> & {
  readonly server: HostSettings;
} {
  const address = HOST_ALIASES[host] ?? host;
  if (Object.hasOwn(config.registries, host)) {
    const { mirrors, plain_http, ca_file } = config.registries[host] ?? NO_CONFIG;
    const caFiles = ca_file === undefined ? [] : [ca_file];
    return {
      mirrors: mirrors.map(({ url }) => plainSettings(url, caFiles)),
      server: plainSettings(`${plain_http ? "http" : "https"}://${address}/`, caFiles),
    };
  }
  const { mirrors, server } = readHosts(config.hosts_directory, host) ?? {
    mirrors: [],
    server: undefined,
  };
  return { mirrors, server: server ?? plainSettings(`https://${address}/`, []) };
}

function plainSettings(url: string, caFiles: readonly string[]): HostSettings {
  return {
    ...DEFAULT_TLS,
    base: new URL(url),
    exactPath: false,
    capabilities: new Set(["pull", "resolve"]),
    caFiles,
    headers: {},
  };
}

class RemoteRegistry implements Registry {
  readonly #all: readonly Endpoint[];
  /** In the order in which they are asked. The last one is the registry itself. */
  #endpoints: readonly Endpoint[];
  readonly #reference: Reference;

  constructor(endpoints: readonly Endpoint[], reference: Reference) {
    this.#all = endpoints;
    this.#endpoints = endpoints;
    this.#reference = reference;
  }

  async image(signal?: AbortSignal): Promise<ImageManifest> {
    const what = `the manifest of ${formatReference(this.#reference)}`;
    const { digest, tag } = this.#reference;
    let raw = await this.#manifest(digest ?? tag ?? "latest", digest, what, signal);
    const referenceDigest = raw.digest;
    for (let depth = 0; depth <= MAX_INDEX_DEPTH; depth += 1) {
      const parsed = parseManifest(raw, what);
      if (parsed.kind === "image") return { ...parsed.image, referenceDigest };
      const entry = chooseEntry(parsed.entries, what);
      raw = await this.#manifest(entry.digest, entry.digest, what, signal);
    }
    throw new LightvmError("unimplemented", `${what} nests indexes too deeply`);
  }

  async config(manifest: ImageManifest, signal?: AbortSignal): Promise<Uint8Array> {
    const what = `the configuration of ${formatReference(this.#reference)}`;
    const { size, digest } = manifest.config;
    if (size > MAX_CONFIG_BYTES) {
      throw new LightvmError("data-loss", `${what} is larger than ${MAX_CONFIG_BYTES} bytes`);
    }
    const { chunks } = await this.blob(manifest.config, 0, signal);
    const bytes = await readAll(chunks, size, what);
    verifyBytes(bytes, digest, what);
    return bytes;
  }

  async blob(descriptor: Descriptor, offset: number, signal?: AbortSignal): Promise<BlobBody> {
    const { digest, size } = descriptor;
    const what = `blob ${digest} of ${formatReference(this.#reference)}`;
    throwIfCancelled(signal, what);
    if (offset === size && size > 0) return { offset, chunks: nothing() };
    const request = { path: `blobs/${digest}`, what, signal };
    const range: Record<string, string> = offset > 0 ? { Range: `bytes=${offset}-` } : {};
    return this.#ask("pull", async (endpoint) => {
      let response = await endpoint.get({ ...request, headers: range });
      if (response.status === 416) {
        response.discard();
        response = await endpoint.get({ ...request, headers: {} });
      }
      const start = startOf(response, offset, what);
      return { offset: start, chunks: exactly(response, size - start, what) };
    });
  }

  [Symbol.dispose](): void {
    for (const endpoint of this.#all) endpoint[Symbol.dispose]();
  }

  async #manifest(
    name: string,
    digest: string | undefined,
    what: string,
    signal: AbortSignal | undefined,
  ): Promise<RawManifest> {
    const request = {
      path: `manifests/${name}`,
      what,
      headers: { Accept: MANIFEST_ACCEPT },
      signal,
    };
    return this.#ask(digest === undefined ? "resolve" : "pull", async (endpoint) => {
      const response = await endpoint.get(request);
      const bytes = await readAll(response.chunks, MAX_MANIFEST_BYTES, what);
      if (digest !== undefined) verifyBytes(bytes, digest, what);
      const contentType = (response.header("content-type") ?? "").split(";")[0] ?? "";
      return {
        digest: digest ?? sha256(bytes),
        contentType: contentType.trim().toLowerCase(),
        bytes,
      };
    });
  }

  /** Tries one endpoint after the other; the registry's own failure is the one that counts. */
  async #ask<T>(capability: Capability, attempt: (endpoint: Endpoint) => Promise<T>): Promise<T> {
    const failures: string[] = [];
    const endpoints = this.#endpoints.filter((it) => it.can(capability));
    for (const endpoint of endpoints) {
      try {
        return await attempt(endpoint);
      } catch (error) {
        if (!(error instanceof LightvmError) || error.code === "cancelled") throw error;
        if (endpoint === endpoints.at(-1)) throw withMirrors(error, failures);
        failures.push(error.message);
        // A dead mirror costs its timeout once a pull, not once a layer.
        if (error.code === "unavailable") {
          this.#endpoints = this.#endpoints.filter((it) => it !== endpoint);
        }
      }
    }
    const what = formatReference(this.#reference);
    throw new LightvmError(
      "failed-precondition",
      `no server may be asked to ${capability} ${what}`,
    );
  }
}

function withMirrors(error: LightvmError, failures: readonly string[]): LightvmError {
  if (failures.length === 0) return error;
  const message = [error.message, ...failures].join("; before that, ");
  return new LightvmError(error.code, message, { cause: error.cause });
}

function startOf(response: HttpResponse, offset: number, what: string): number {
  if (response.status === 200) return 0;
  const range = /^bytes (\d+)-\d+\/(?:\d+|\*)$/.exec(response.header("content-range") ?? "");
  if (response.status === 206 && Number(range?.[1]) === offset) return offset;
  response.discard();
  throw new LightvmError("data-loss", `another part of ${what} came than was asked for`);
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

async function* exactly(
  response: HttpResponse,
  size: number,
  what: string,
): AsyncGenerator<Uint8Array> {
  let missing = size;
  for await (const chunk of response.chunks) {
    missing -= chunk.length;
    if (missing < 0) {
      throw new LightvmError("data-loss", `${what} is larger than its descriptor says`);
    }
    yield chunk;
  }
  // Without a Content-Length, a connection that is cut off looks like an end.
  if (missing > 0) throw new LightvmError("unavailable", `${what} ended ${missing} bytes early`);
}
