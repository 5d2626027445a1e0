// SPDX-License-Identifier: Apache-2.0

/**
 * How registries are reached, in the form that node operators know from containerd: one directory a
 * registry host, with a `hosts.toml` (containerd's docs/hosts.md). What decides trust and is not
 * understood here is refused, so that nobody believes in a setting that has no effect.
 */
import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { parse } from "smol-toml";
import { z } from "zod";
import { LightvmError } from "../../shared/errors.ts";

/** What a server may be asked for: tags, and content by its digest. */
export type Capability = "resolve" | "pull";

/** One server that stands for a registry. */
export interface HostSettings {
  readonly base: URL;
  /** The path of `base` is all that stands in front of the repository, without "/v2". */
  readonly exactPath: boolean;
  readonly capabilities: ReadonlySet<Capability>;
  /** PEM files of authorities, beside the system's. */
  readonly caFiles: readonly string[];
  /** PEM files of certificates for ourselves; the key may be in the same file. */
  readonly clientCertificates: readonly { readonly certificate: string; readonly key: string }[];
  /** False: whoever answers is believed. */
  readonly verify: boolean;
  readonly headers: Readonly<Record<string, string>>;
}

/** The servers of one registry. */
export interface RegistryHosts {
  /** Asked in order, before the registry itself. */
  readonly mirrors: readonly HostSettings[];
  /** The registry itself; undefined = as its name says. */
  readonly server: HostSettings | undefined;
}

const FILE = "hosts.toml";
/** For registries without a directory of their own. */
const FALLBACK = "_default";

const strings = z.union([z.string(), z.array(z.string())]).transform((it) => [it].flat());
const settings = z.strictObject({
  capabilities: z.array(z.enum(["pull", "resolve", "push", "referrers"])).optional(),
  ca: strings.default([]),
  client: z
    .union([z.string(), z.array(z.union([z.string(), z.array(z.string()).min(1).max(2)]))])
    .optional(),
  skip_verify: z.boolean().default(false),
  header: z.record(z.string(), strings).default({}),
  override_path: z.boolean().default(false),
  dial_timeout: z.string().optional(),
});
const document = settings.extend({
  server: z.string().optional(),
  host: z.record(z.string(), settings).default({}),
});

/** Reads what `directory` says of a registry host; undefined when it says nothing. */
export function readHosts(directory: string, host: string): RegistryHosts | undefined {
  // containerd too takes "host_5000_" where a colon is no good name.
  const names = [host, host.replace(/:(\d+)$/, "_$1_"), FALLBACK];
  for (const name of new Set(names)) {
    const file = join(directory, name, FILE);
    const text = readIfThere(file);
    if (text !== undefined) return parseHosts(text, file);
  }
  return undefined;
}

/** Throws "invalid-argument" that names the file and the key. */
export function parseHosts(text: string, file: string): RegistryHosts {
  let toml: unknown;
  try {
    toml = parse(text);
  } catch (cause) {
    throw new LightvmError("invalid-argument", `${file} is not valid TOML`, { cause });
  }
  const { data, error } = document.safeParse(toml);
  if (data === undefined) {
    const why = error.issues.map((it) => `${it.path.join(".")}: ${it.message}`).join("; ");
    throw new LightvmError("invalid-argument", `${file} is not valid: ${why}`);
  }
  const { host, server, ...own } = data;
  return {
    mirrors: Object.entries(host).map(([url, it]) => hostSettings(url, it, file)),
    server: server === undefined ? undefined : hostSettings(server, own, file),
  };
}

function hostSettings(url: string, it: z.output<typeof settings>, file: string): HostSettings {
  const base = URL.parse(url.includes("://") ? url : `https://${url}`);
  if (base === null || !["http:", "https:"].includes(base.protocol)) {
    throw new LightvmError("invalid-argument", `${file}: "${url}" is no URL of a registry`);
  }
  const place = (path: string) => (isAbsolute(path) ? path : join(file, "..", path));
  const certificates = it.client === undefined ? [] : [it.client].flat();
  const able = it.capabilities ?? ["pull", "resolve"];
  return {
    base,
    exactPath: it.override_path,
    capabilities: new Set(able.filter((what) => what === "pull" || what === "resolve")),
    caFiles: it.ca.map(place),
    clientCertificates: certificates.map((pair) => {
      const [certificate = "", key = certificate] = [pair].flat();
      return { certificate: place(certificate), key: place(key) };
    }),
    verify: !it.skip_verify,
    headers: Object.fromEntries(
      Object.entries(it.header).map(([name, values]) => [name, values.join(", ")]),
    ),
  };
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw new LightvmError("failed-precondition", `cannot read ${file}`, { cause });
  }
}
