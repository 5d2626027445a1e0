// SPDX-License-Identifier: Apache-2.0

/** HTTP requests in which silence ends: no answer and no body may stall for longer than a limit. */
import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as https from "node:https";
import * as tls from "node:tls";
import { LightvmError } from "../../shared/errors.ts";
import { VERSION } from "../../shared/version.ts";
import { throwIfCancelled, waitFor } from "../../shared/wait.ts";

export interface HttpRequest {
  readonly method: "GET" | "POST";
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface HttpResponse {
  readonly status: number;
  /** Undefined when the header is missing; several of one name are joined with ", ". */
  header(name: string): string | undefined;
  /**
   * The body, once. Throws "unavailable" when it is cut off or silent, and "cancelled". Leaving the
   * loop early closes the connection.
   */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Closes the connection without reading the body. */
  discard(): void;
}

/** Whom a client believes over TLS, and who it is itself; files are PEM. */
export interface TlsOptions {
  /** Authorities that are trusted beside Node's and the system's. */
  readonly caFiles: readonly string[];
  readonly clientCertificates: readonly { readonly certificate: string; readonly key: string }[];
  /** False: whoever answers is believed. */
  readonly verify: boolean;
}

export const DEFAULT_TLS: TlsOptions = { caFiles: [], clientCertificates: [], verify: true };

export interface HttpClientOptions {
  readonly tls: TlsOptions;
  /** Longest silence of a server while an answer or more of a body is due, milliseconds. */
  readonly silenceMs: number;
}

/** Keeps connections for further requests until it is disposed of. */
export class HttpClient implements Disposable {
  readonly #plain = new http.Agent({ keepAlive: true });
  readonly #silenceMs: number;
  readonly #tls: TlsOptions;
  #secure: https.Agent | undefined;

  constructor(options: HttpClientOptions) {
    this.#silenceMs = options.silenceMs;
    this.#tls = options.tls;
  }

  /** Throws "unavailable" when there is no answer, "failed-precondition" (CA file), "cancelled". */
  async send(request: HttpRequest): Promise<HttpResponse> {
    const what = `the request to ${request.url.host}`;
    throwIfCancelled(request.signal, what);
    const sent = this.#start(request);
    try {
      const waiting = waitFor(sent.response, what, {
        signal: request.signal,
        timeoutMs: this.#silenceMs,
      });
      return wrapResponse(await waiting, request, this.#silenceMs);
    } catch (error) {
      sent.request.destroy();
      // The server closed a kept connection at the moment of its next use: not an answer to this.
      if (sent.request.reusedSocket && isReset(error)) return this.send(request);
      throw asUnavailable(error, `${request.url.host} does not answer`);
    }
  }

  [Symbol.dispose](): void {
    this.#plain.destroy();
    this.#secure?.destroy();
  }

  #start(request: HttpRequest) {
    const secure = request.url.protocol === "https:";
    const { promise, resolve, reject } = Promise.withResolvers<http.IncomingMessage>();
    const sent = (secure ? https : http).request(request.url, {
      agent: secure ? this.#secureAgent() : this.#plain,
      method: request.method,
      headers: {
        "User-Agent": `lightvm/${VERSION}`,
        // Blobs are hashed as they are stored.
        "Accept-Encoding": "identity",
        ...request.headers,
      },
    });
    sent.on("response", resolve);
    sent.on("error", reject);
    sent.end(request.body);
    return { request: sent, response: promise };
  }

  #secureAgent(): https.Agent {
    const { caFiles, clientCertificates, verify } = this.#tls;
    this.#secure ??= new https.Agent({
      keepAlive: true,
      rejectUnauthorized: verify,
      secureContext: tls.createSecureContext({
        ca: authorities(caFiles),
        cert: clientCertificates.map(({ certificate }) => readPem(certificate)),
        key: clientCertificates.map(({ key }) => readPem(key)),
      }),
    });
    return this.#secure;
  }
}

/** Reads a body of at most `limit` bytes; throws "data-loss" when there is more. */
export async function readAll(
  chunks: AsyncIterable<Uint8Array>,
  limit: number,
  what: string,
): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > limit) {
      throw new LightvmError("data-loss", `${what} is larger than ${limit} bytes`);
    }
    parts.push(chunk);
  }
  return Buffer.concat(parts);
}

function wrapResponse(
  message: http.IncomingMessage,
  request: HttpRequest,
  silenceMs: number,
): HttpResponse {
  // An error between two reads (a reset, say) shows at the next read; nobody else may see it.
  message.on("error", () => undefined);
  return {
    status: message.statusCode ?? 0,
    header: (name) => {
      const value = message.headers[name.toLowerCase()];
      return Array.isArray(value) ? value.join(", ") : value;
    },
    chunks: readChunks(message, request, silenceMs),
    discard: () => void message.destroy(),
  };
}

async function* readChunks(
  message: http.IncomingMessage,
  { url, signal }: HttpRequest,
  silenceMs: number,
): AsyncGenerator<Uint8Array> {
  const iterator: AsyncIterator<Uint8Array> = message[Symbol.asyncIterator]();
  try {
    for (;;) {
      const options = { signal, timeoutMs: silenceMs };
      const next = await waitFor(iterator.next(), `the answer of ${url.host}`, options);
      if (next.done === true) return;
      yield next.value;
    }
  } catch (error) {
    throw asUnavailable(error, `${url.host} stopped in the middle of its answer`);
  } finally {
    if (!message.complete) message.destroy();
  }
}

function asUnavailable(error: unknown, message: string): LightvmError {
  const known = error instanceof LightvmError;
  if (known && error.code !== "deadline-exceeded") return error;
  return new LightvmError("unavailable", message, { cause: error });
}

function isReset(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ECONNRESET" || code === "EPIPE";
}

function authorities(caFiles: readonly string[]): string[] {
  const trusted = [...tls.getCACertificates("default"), ...tls.getCACertificates("system")];
  return [...new Set([...trusted, ...caFiles.map(readPem)])];
}

function readPem(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    throw new LightvmError("failed-precondition", `cannot read the certificate or key ${file}`, {
      cause: error,
    });
  }
}
