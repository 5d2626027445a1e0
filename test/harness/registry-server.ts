// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import { type Descriptor, MEDIA_TYPE } from "../../src/image/registry/manifest.ts";
import { type Config, parseConfig } from "../../src/shared/config.ts";
import type { Identity } from "./certificates.ts";

/** What goes wrong with one answer. */
export type Fault =
  /** Another status and nothing else. */
  | { readonly status: number }
  /** Headers that promise everything, then the connection is reset after so many body bytes. */
  | { readonly cutAfter: number }
  /** As `cutAfter`, but then silence. */
  | { readonly silentAfter: number }
  /** No answer at all. */
  | { readonly silent: true }
  /** These bytes, with a status of 200. */
  | { readonly replace: Uint8Array }
  | { readonly redirect: string };

export type ServerAuth =
  | { readonly kind: "basic"; readonly username: string; readonly password: string }
  /** Tokens for everybody, or only against the username and password, or the identity token. */
  | {
      readonly kind: "bearer";
      readonly username?: string;
      readonly password?: string;
      readonly identityToken?: string;
    };

export interface RegistryServerOptions {
  readonly auth?: ServerAuth;
  /** Whether Range is honoured; default true. */
  readonly ranges?: boolean;
  /** It speaks TLS, as this server. */
  readonly tls?: Identity;
  /** With it, over TLS, a client must show a certificate of this authority. */
  readonly clientAuthority?: Buffer;
}

/** What was asked, in order. */
export interface SeenRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

/** A registry in memory, served over HTTP on loopback, with TLS if it is wanted. */
export class RegistryServer implements AsyncDisposable {
  readonly requests: SeenRequest[] = [];
  /** By digest. */
  readonly blobs = new Map<string, Uint8Array>();
  /** Asked for each request that is not for a token; undefined = the right answer. */
  fault: ((request: SeenRequest) => Fault | undefined) | undefined;
  /** Tokens that are good now. Clear it to let them expire. */
  readonly tokens = new Set<string>();
  /** "repository:tag" or "repository@digest" → what stands there. */
  readonly #manifests = new Map<string, { mediaType: string; bytes: Uint8Array }>();
  readonly #options: RegistryServerOptions;
  readonly #server: Server;

  private constructor(options: RegistryServerOptions) {
    this.#options = options;
    const { clientAuthority: ca, tls } = options;
    const listener = (request: IncomingMessage, response: ServerResponse) => {
      this.#serve(request, response).catch((error: unknown) => response.destroy(error as Error));
    };
    this.#server =
      tls === undefined
        ? createServer(listener)
        : createTlsServer({ ...tls, ...(ca && { ca, requestCert: true }) }, listener);
  }

  static async start(options: RegistryServerOptions = {}): Promise<RegistryServer> {
    const server = new RegistryServer(options);
    await new Promise<void>((resolve) => server.#server.listen(0, "127.0.0.1", resolve));
    return server;
  }

  /** As in references: "127.0.0.1:4711". */
  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  get url(): string {
    return `${this.#options.tls === undefined ? "http" : "https"}://${this.host}`;
  }

  /** The configuration of a node that reaches this registry, through `mirrors` first. */
  config(mirrors: readonly string[] = []): Config["image"] {
    const own = { plain_http: true, mirrors: mirrors.map((url) => ({ url })) };
    return parseConfig({ image: { registries: { [this.host]: own } } }, "the test").image;
  }

  putBlob(bytes: Uint8Array, mediaType = "application/octet-stream"): Descriptor {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    this.blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /** Stores any document under its digest and the tags. */
  putManifest(
    repository: string,
    tags: readonly string[],
    document: unknown,
    mediaType: string = MEDIA_TYPE.ociManifest,
  ): Descriptor {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const names = [`${repository}@${digest}`, ...tags.map((tag) => `${repository}:${tag}`)];
    for (const name of names) this.#manifests.set(name, { mediaType, bytes });
    return { mediaType, digest, size: bytes.length };
  }

  /** Stores an image of an OCI configuration document and layers that are stored already. */
  putImage(
    repository: string,
    tags: readonly string[],
    config: unknown,
    layers: readonly Descriptor[],
  ): Descriptor {
    const stored = this.putBlob(Buffer.from(JSON.stringify(config)), MEDIA_TYPE.ociConfig);
    const mediaType = MEDIA_TYPE.ociManifest;
    const document = { schemaVersion: 2, mediaType, config: stored, layers };
    return this.putManifest(repository, tags, document, mediaType);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(message: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = "";
    for await (const chunk of message) body += String(chunk);
    const { method = "", url: path = "", headers } = message;
    const request = { method, path, headers, body };
    this.requests.push(request);
    const url = new URL(path, this.url);
    if (url.pathname === "/token") return this.#giveToken(request, url, response);
    if (!this.#isAllowed(request)) return this.#challenge(url, response);
    const fault = this.fault?.(request);
    if (fault !== undefined && "status" in fault)
      return void response.writeHead(fault.status).end();
    if (fault !== undefined && "silent" in fault) return;
    if (fault !== undefined && "redirect" in fault) {
      return void response.writeHead(307, { Location: fault.redirect }).end();
    }
    const found = this.#find(url.pathname);
    if (found === undefined) {
      const errors = [{ code: "MANIFEST_UNKNOWN", message: "not here" }];
      return void response.writeHead(404).end(JSON.stringify({ errors }));
    }
    this.#answer(request, found, fault, response);
  }

  #find(path: string): { mediaType: string; bytes: Uint8Array } | undefined {
    const [, repository, kind, name = ""] =
      /^\/v2\/(.+)\/(manifests|blobs)\/(.+)$/.exec(path) ?? [];
    if (kind === "manifests") {
      return this.#manifests.get(`${repository}${name.includes(":") ? "@" : ":"}${name}`);
    }
    const bytes = this.blobs.get(name);
    return bytes === undefined ? undefined : { mediaType: "application/octet-stream", bytes };
  }

  #answer(
    request: SeenRequest,
    found: { mediaType: string; bytes: Uint8Array },
    fault: Fault | undefined,
    response: ServerResponse,
  ): void {
    const whole = fault !== undefined && "replace" in fault ? fault.replace : found.bytes;
    const wanted = /^bytes=(\d+)-$/.exec(request.headers.range ?? "")?.[1];
    const isPart = wanted !== undefined && this.#options.ranges !== false;
    const start = isPart ? Number(wanted) : 0;
    if (isPart && start >= whole.length) return void response.writeHead(416).end();
    const bytes = whole.subarray(start);
    response.writeHead(isPart ? 206 : 200, {
      "Content-Type": found.mediaType,
      "Content-Length": bytes.length,
      ...(isPart && { "Content-Range": `bytes ${start}-${whole.length - 1}/${whole.length}` }),
    });
    if (fault !== undefined && "cutAfter" in fault) {
      response.flushHeaders();
      response.write(bytes.subarray(0, fault.cutAfter), () => response.socket?.end());
    } else if (fault !== undefined && "silentAfter" in fault) {
      response.flushHeaders();
      response.write(bytes.subarray(0, fault.silentAfter));
    } else {
      response.end(bytes);
    }
  }

  #isAllowed({ headers }: SeenRequest): boolean {
    const { auth } = this.#options;
    if (auth === undefined) return true;
    const authorization = headers.authorization ?? "";
    if (auth.kind === "basic") return authorization === basic(auth);
    return this.tokens.has(authorization.replace(/^Bearer /, ""));
  }

  #challenge(url: URL, response: ServerResponse): void {
    const repository = /^\/v2\/(.+)\/(?:manifests|blobs)\//.exec(url.pathname)?.[1];
    const bearer = `Bearer realm="${this.url}/token",service="test",scope="repository:${repository}:pull"`;
    const isBasic = this.#options.auth?.kind === "basic";
    response.writeHead(401, { "WWW-Authenticate": isBasic ? 'Basic realm="test"' : bearer }).end();
  }

  #giveToken({ method, headers, body }: SeenRequest, url: URL, response: ServerResponse): void {
    const { auth } = this.#options;
    const form = new URLSearchParams(body);
    const { service, scope } = Object.fromEntries(method === "POST" ? form : url.searchParams);
    const isGood =
      auth?.kind === "bearer" &&
      service === "test" &&
      /^repository:.+:pull$/.test(scope ?? "") &&
      (auth.username === undefined || headers.authorization === basic(auth)) &&
      (auth.identityToken === undefined ||
        (form.get("refresh_token") === auth.identityToken &&
          form.get("grant_type") === "refresh_token"));
    if (!isGood) return void response.writeHead(401).end();
    const token = `token-${this.requests.length}`;
    this.tokens.add(token);
    response.end(JSON.stringify(method === "POST" ? { access_token: token } : { token }));
  }
}

function basic(auth: { username?: string; password?: string }): string {
  return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString("base64")}`;
}
