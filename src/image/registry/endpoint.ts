// SPDX-License-Identifier: Apache-2.0
import { type ErrorCode, LightvmError } from "../../shared/errors.ts";
import type { Credentials } from "../images.ts";
import { answerChallenge } from "./authentication.ts";
import type { Capability } from "./hosts-file.ts";
import { type HttpClient, type HttpResponse, readAll } from "./http.ts";

export interface EndpointOptions {
  readonly client: HttpClient;
  /** Scheme, host and an optional path in front of "/v2/". */
  readonly base: URL;
  readonly repository: string;
  /** A mirror is told which registry it stands for. */
  readonly mirrorOf?: string | undefined;
  /** The path of `base` takes the place of "/v2/". */
  readonly exactPath?: boolean;
  readonly capabilities?: ReadonlySet<Capability>;
  /** Sent with each request to this server, and to no other. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly credentials?: Credentials | undefined;
}

export interface EndpointRequest {
  /** Below the repository: "manifests/latest". */
  readonly path: string;
  /** What is fetched, for errors. */
  readonly what: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signal: AbortSignal | undefined;
}

const MAX_REDIRECTS = 5;
/** What is read of an error's body, and shown of it. */
const MAX_ERROR_BYTES = 16 * 1024;
const MAX_ERROR_SHOWN = 200;
const redirects: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** One place that serves a repository: the registry itself or a mirror of it. */
export class Endpoint {
  readonly #options: EndpointOptions;
  /** What the server accepted or asked for last. */
  #authorization: string | undefined;

  constructor(options: EndpointOptions) {
    this.#options = options;
    const token = options.credentials?.registryToken;
    if (token !== undefined && token !== "") this.#authorization = `Bearer ${token}`;
  }

  /**
   * Asks, proving who we are when the server wants that, and follows redirects. The answer has
   * status 200, 206 or 416. Throws "not-found", "unauthenticated", "unavailable", "cancelled",
   * "invalid-argument" (a request that the server calls wrong), "data-loss" (answer makes no sense).
   */
  async get(request: EndpointRequest): Promise<HttpResponse> {
    const url = this.#url(request.path);
    const used = this.#authorization;
    let response = await this.#follow(url, request);
    if (response.status === 401 && (await this.#authenticate(url, response, used, request))) {
      response.discard();
      response = await this.#follow(url, request);
    }
    if ([200, 206, 416].includes(response.status)) return response;
    throw await this.#failure(response, request.what);
  }

  /** Whether this server may be asked for that; all may unless they are limited. */
  can(capability: Capability): boolean {
    return this.#options.capabilities?.has(capability) ?? true;
  }

  /** Closes all connections. */
  [Symbol.dispose](): void {
    this.#options.client[Symbol.dispose]();
  }

  #url(path: string): URL {
    const { base, exactPath = false, repository, mirrorOf } = this.#options;
    const prefix = base.pathname.replace(/\/+$/, "");
    const url = new URL(`${prefix}${exactPath ? "" : "/v2"}/${repository}/${path}`, base);
    if (mirrorOf !== undefined) url.searchParams.set("ns", mirrorOf);
    return url;
  }

  async #follow(start: URL, request: EndpointRequest): Promise<HttpResponse> {
    let url = start;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops += 1) {
      // Where blobs are stored is another party: it gets a signed URL, never our credentials.
      const own = url.origin === start.origin;
      const headers = { ...(own && this.#options.headers), ...request.headers };
      if (this.#authorization !== undefined && own) headers["Authorization"] = this.#authorization;
      const { client } = this.#options;
      const response = await client.send({ method: "GET", url, headers, signal: request.signal });
      if (!redirects.has(response.status)) {
        // Storage that refuses a signed URL asks nobody for a login.
        if (response.status !== 401 || url.origin === start.origin) return response;
        throw await this.#failure(response, request.what);
      }
      response.discard();
      url = redirectTarget(url, response.header("location"), request.what);
    }
    throw new LightvmError("unavailable", `${start.host} redirects ${request.what} in circles`);
  }

  /** Whether there is something new to try. */
  async #authenticate(
    url: URL,
    response: HttpResponse,
    used: string | undefined,
    request: EndpointRequest,
  ): Promise<boolean> {
    // Another request of the same pull has renewed the token meanwhile.
    if (this.#authorization !== used) return true;
    const { client, credentials, repository } = this.#options;
    if (credentials?.registryToken) return false;
    const authorization = await answerChallenge(client, response.header("www-authenticate") ?? "", {
      origin: url,
      scope: `repository:${repository}:pull`,
      credentials,
      signal: request.signal,
    });
    if (authorization === undefined || authorization === used) return false;
    this.#authorization = authorization;
    return true;
  }

  async #failure(response: HttpResponse, what: string): Promise<LightvmError> {
    const host = this.#options.base.host;
    const detail = await readDetail(response);
    const suffix = detail === "" ? "" : `: ${detail}`;
    return new LightvmError(
      codeOf(response.status),
      `${host} does not give ${what} (HTTP ${response.status}${suffix})`,
    );
  }
}

function redirectTarget(from: URL, location: string | undefined, what: string): URL {
  const target = location === undefined ? null : URL.parse(location, from.href);
  const allowed = from.protocol === "http:" ? ["http:", "https:"] : ["https:"];
  if (target !== null && allowed.includes(target.protocol)) return target;
  throw new LightvmError("data-loss", `${from.host} redirects ${what} to nowhere that is usable`);
}

function codeOf(status: number): ErrorCode {
  if (status === 401 || status === 403) return "unauthenticated";
  if (status === 404 || status === 410) return "not-found";
  if (status === 408 || status === 425 || status === 429 || status >= 500) return "unavailable";
  return status >= 400 ? "invalid-argument" : "data-loss";
}

/** What the server says about its refusal, if it says so in the way of the specification. */
async function readDetail(response: HttpResponse): Promise<string> {
  try {
    const body = await readAll(response.chunks, MAX_ERROR_BYTES, "the error");
    const { errors } = JSON.parse(body.toString("utf8")) as {
      errors: { code?: unknown; message?: unknown }[];
    };
    const parts = errors.map(({ code, message }) => `${String(code)}: ${String(message)}`);
    return parts
      .join("; ")
      .replaceAll(/[^\x20-\x7e]/g, "?")
      .slice(0, MAX_ERROR_SHOWN);
  } catch {
    // The status alone decides; the body only explains, and this one does not.
    return "";
  }
}
