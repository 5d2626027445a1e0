// SPDX-License-Identifier: Apache-2.0

/**
 * Image references as people write them ("busybox", "quay.io/team/app:1.2@sha256:…") and in their
 * full form. Grammar: github.com/distribution/reference; defaults: Docker's.
 */
import { LightvmError } from "../shared/errors.ts";

/** A reference in full. At least one of tag and digest is there; with both, the digest decides. */
export interface Reference {
  /** Registry host as in references, with its port if any: "docker.io", "localhost:5000". */
  readonly host: string;
  /** "library/busybox" */
  readonly repository: string;
  readonly tag?: string | undefined;
  /** "sha256:…" or "sha512:…", lower case. */
  readonly digest?: string | undefined;
}

const DEFAULT_HOST = "docker.io";
/** An old name of the default registry that still occurs. */
const LEGACY_DEFAULT_HOST = "index.docker.io";
const DEFAULT_NAMESPACE = "library/";
const DEFAULT_TAG = "latest";
/** Longest repository path of the grammar. */
const MAX_REPOSITORY_LENGTH = 255;
/** Host names end at 253 characters, a port takes six more, tag and digest the rest. */
const MAX_LENGTH = 1024;

const hostLabel = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const hostPattern = new RegExp(
  `^(?:${hostLabel}(?:\\.${hostLabel})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?$`,
);
const component = "[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*";
const repositoryPattern = new RegExp(`^${component}(?:/${component})*$`);
const tagPattern = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}$/;
const digestPattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
const bareIdPattern = /^[0-9a-f]{64}$/;

/** Whether `text` is a digest of a kind that can be verified here. */
export function isDigest(text: string): boolean {
  return digestPattern.test(text);
}

/**
 * Reads a reference and fills in what is left out: host "docker.io", there the namespace
 * "library", and the tag "latest" unless a digest is named. Throws "invalid-argument".
 */
export function parseReference(text: string): Reference {
  if (text === "") throw invalid(text, "it is empty");
  if (text.length > MAX_LENGTH) throw invalid(text, `it is longer than ${MAX_LENGTH} characters`);
  if (bareIdPattern.test(text)) throw invalid(text, "it is an image id");
  const { rest: named, suffix: digest } = cut(text, text.indexOf("@"));
  if (digest !== undefined && !isDigest(digest)) {
    throw invalid(text, "the digest must be sha256 or sha512, in lower case hexadecimal digits");
  }
  const colon = named.lastIndexOf(":");
  const { rest: name, suffix: tag } = cut(named, colon > named.lastIndexOf("/") ? colon : -1);
  if (tag !== undefined && !tagPattern.test(tag)) throw invalid(text, "the tag is malformed");
  const { host, repository } = splitName(name);
  checkHost(text, host);
  checkRepository(text, repository);
  return {
    host,
    repository,
    tag: tag ?? (digest === undefined ? DEFAULT_TAG : undefined),
    digest,
  };
}

/** "docker.io/library/busybox" */
export function fullName(reference: Reference): string {
  return `${reference.host}/${reference.repository}`;
}

/** "docker.io/library/busybox:1.37@sha256:…", without what the reference does not have. */
export function formatReference(reference: Reference): string {
  const tag = reference.tag === undefined ? "" : `:${reference.tag}`;
  const digest = reference.digest === undefined ? "" : `@${reference.digest}`;
  return `${fullName(reference)}${tag}${digest}`;
}

/**
 * The name that a pull of this reference moves to a new image; undefined for a reference with a
 * digest, whose tag is only decoration.
 */
export function repoTag(reference: Reference): string | undefined {
  if (reference.tag === undefined || reference.digest !== undefined) return undefined;
  return `${fullName(reference)}:${reference.tag}`;
}

/** "docker.io/library/busybox@sha256:…" for the digest that the registry answered with. */
export function repoDigest(reference: Reference, digest: string): string {
  return `${fullName(reference)}@${digest}`;
}

function cut(text: string, index: number): { rest: string; suffix: string | undefined } {
  if (index < 0) return { rest: text, suffix: undefined };
  return { rest: text.slice(0, index), suffix: text.slice(index + 1) };
}

/** What stands before the first slash is a host only if it cannot be a namespace. */
function splitName(name: string): { host: string; repository: string } {
  const slash = name.indexOf("/");
  const first = slash < 0 ? "" : name.slice(0, slash);
  const isHost = first === "localhost" || /[.:[A-Z]/.test(first);
  const written = isHost ? first : DEFAULT_HOST;
  const host = written === LEGACY_DEFAULT_HOST ? DEFAULT_HOST : written;
  const path = isHost ? name.slice(slash + 1) : name;
  const official = host === DEFAULT_HOST && !path.includes("/");
  return { host, repository: official ? `${DEFAULT_NAMESPACE}${path}` : path };
}

function checkHost(text: string, host: string): void {
  // The second test knows ports above 65535 and numbers that are no IP addresses.
  if (hostPattern.test(host) && URL.canParse(`https://${host}/`)) return;
  throw invalid(text, "the registry host is malformed");
}

function checkRepository(text: string, repository: string): void {
  if (repository.length > MAX_REPOSITORY_LENGTH) {
    throw invalid(text, `the repository is longer than ${MAX_REPOSITORY_LENGTH} characters`);
  }
  if (repositoryPattern.test(repository)) return;
  const lower = repositoryPattern.test(repository.toLowerCase());
  throw invalid(text, lower ? "the repository must be lower case" : "the repository is malformed");
}

function invalid(text: string, why: string): LightvmError {
  const shown = text.length > 100 ? `${text.slice(0, 100)}…` : text;
  return new LightvmError(
    "invalid-argument",
    `${JSON.stringify(shown)} is not an image reference: ${why}`,
  );
}
