// SPDX-License-Identifier: Apache-2.0

/**
 * How a pull proves who it is: RFC 7235 challenges, RFC 7617 Basic, and the token service of the
 * distribution project (its "token authentication" and "OAuth2 token authentication" documents).
 */
import { z } from "zod";
import { LightvmError } from "../../shared/errors.ts";
import type { Credentials } from "../images.ts";
import { type HttpClient, type HttpRequest, readAll } from "./http.ts";

/** One scheme that a server offers, with its parameters; names in lower case. */
export interface Challenge {
  readonly scheme: string;
  readonly parameters: ReadonlyMap<string, string>;
}

export interface TokenRequest {
  readonly challenge: Challenge;
  /** Where the challenge came from. */
  readonly origin: URL;
  /** Asked for when the challenge names no scope: "repository:library/busybox:pull". */
  readonly scope: string;
  readonly credentials: Credentials | undefined;
  readonly signal: AbortSignal | undefined;
}

const MAX_TOKEN_BYTES = 1024 * 1024;
const tokenDocument = z.object({
  token: z.string().optional(),
  access_token: z.string().optional(),
});
const challengePart =
  /[\s,]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/y;

/** Reads a WWW-Authenticate header, up to the first thing in it that is malformed. */
export function parseChallenges(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  challengePart.lastIndex = 0;
  for (;;) {
    const [, name, quoted, bare] = challengePart.exec(header) ?? [];
    if (name === undefined) return challenges;
    const value = quoted?.replaceAll(/\\(.)/g, "$1") ?? bare;
    if (value === undefined) {
      challenges.push({ scheme: name.toLowerCase(), parameters: new Map() });
    } else {
      challenges.at(-1)?.parameters.set(name.toLowerCase(), value);
    }
  }
}

/**
 * The Authorization header that answers a 401, or undefined when there is nothing to answer with.
 * Bearer goes before Basic. Throws "unauthenticated" (refused by the token service), "unavailable".
 */
export async function answerChallenge(
  client: HttpClient,
  header: string,
  request: Omit<TokenRequest, "challenge">,
): Promise<string | undefined> {
  const challenges = parseChallenges(header);
  const bearer = challenges.find(({ scheme }) => scheme === "bearer");
  if (bearer !== undefined) {
    return `Bearer ${await fetchToken(client, { ...request, challenge: bearer })}`;
  }
  if (!challenges.some(({ scheme }) => scheme === "basic")) return undefined;
  return basicAuthorization(request.credentials);
}

async function fetchToken(client: HttpClient, request: TokenRequest): Promise<string> {
  const realm = tokenService(request);
  const what = `the token service ${realm.host}`;
  const response = await client.send(tokenMessage(realm, request));
  if (response.status !== 200) {
    response.discard();
    const temporary = response.status >= 500 || response.status === 429;
    throw new LightvmError(
      temporary ? "unavailable" : "unauthenticated",
      `${what} gives no token (HTTP ${response.status})`,
    );
  }
  const document = parseToken(await readAll(response.chunks, MAX_TOKEN_BYTES, what), what);
  const token = document.token ?? document.access_token ?? "";
  // A header takes visible ASCII only; a token of anything else is none.
  if (/^[\x21-\x7e]+$/.test(token)) return token;
  throw new LightvmError("unavailable", `${what} answers without a token`);
}

function tokenService({ challenge, origin }: TokenRequest): URL {
  const realm = URL.parse(challenge.parameters.get("realm") ?? "");
  const schemes = origin.protocol === "http:" ? ["https:", "http:"] : ["https:"];
  if (realm !== null && schemes.includes(realm.protocol)) return realm;
  throw new LightvmError(
    "unauthenticated",
    `${origin.host} names no token service that can be used safely`,
  );
}

function tokenMessage(realm: URL, request: TokenRequest): HttpRequest {
  const { challenge, credentials, signal } = request;
  const scope = challenge.parameters.get("scope") ?? request.scope;
  const service = challenge.parameters.get("service");
  const url = new URL(realm);
  // A URL's own user and password would end up in a header of Node's making.
  url.username = "";
  url.password = "";
  if (credentials?.identityToken !== undefined && credentials.identityToken !== "") {
    const form = new URLSearchParams({
      grant_type: "refresh_token",
      refresh_token: credentials.identityToken,
      client_id: "lightvm",
      scope,
    });
    if (service !== undefined) form.set("service", service);
    const headers = { "Content-Type": "application/x-www-form-urlencoded" };
    return { method: "POST", url, headers, body: form.toString(), signal };
  }
  if (service !== undefined) url.searchParams.set("service", service);
  for (const part of scope.split(" ")) url.searchParams.append("scope", part);
  const authorization = basicAuthorization(credentials);
  const headers: Record<string, string> = {};
  if (authorization !== undefined) headers["Authorization"] = authorization;
  return { method: "GET", url, headers, signal };
}

function basicAuthorization(credentials: Credentials | undefined): string | undefined {
  const { username, password } = credentials ?? {};
  if (username === undefined || username === "") return undefined;
  return `Basic ${Buffer.from(`${username}:${password ?? ""}`).toString("base64")}`;
}

function parseToken(bytes: Buffer, what: string): z.output<typeof tokenDocument> {
  try {
    return tokenDocument.parse(JSON.parse(bytes.toString("utf8")));
  } catch (error) {
    throw new LightvmError("unavailable", `${what} answers something that is no token`, {
      cause: error,
    });
  }
}
