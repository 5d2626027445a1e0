// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { parse } from "smol-toml";
import { z } from "zod";
import { LightvmError } from "./errors.ts";

/** Where a node keeps its configuration unless `--config` says otherwise. */
export const DEFAULT_CONFIG_PATH = "/etc/lightvm/config.toml";

const absolutePath = z.string().regex(/^\//, "must be an absolute path");
const mebibytes = z.number().int().positive();
const seconds = z.number().positive();

/** "host:port" → its parts; "" = not at all. */
const address = z
  .string()
  .regex(/^$|^(\[[0-9a-fA-F:.]+\]|[^:[\]]+):\d{1,5}$/, "must be host:port")
  .transform((text) => {
    if (text === "") return undefined;
    const colon = text.lastIndexOf(":");
    const host = text.slice(0, colon).replace(/^\[|\]$/g, "");
    return { host, port: Number(text.slice(colon + 1)) };
  })
  .refine((parts) => parts === undefined || parts.port < 65536, "has no such port");

const mirror = z.strictObject({
  /** Base URL that is asked instead, for example "https://mirror.example". */
  url: z.url({ protocol: /^https?$/ }),
});

const registry = z.strictObject({
  /** Asked in order, before the registry itself. */
  mirrors: z.array(mirror).default([]),
  /** Speak HTTP without TLS to the registry itself. */
  plain_http: z.boolean().default(false),
  /** PEM file of the authorities that are trusted for this registry, beside the system's. */
  ca_file: absolutePath.optional(),
});

const shellLevel = z.enum(["prepared", "loaded", "booted"]);

/** VMs of one size that are made before anyone asks for them. */
const flavor = z.strictObject({
  vcpus: z.number().int().min(1).max(64).default(1),
  /** All of the VM's RAM, as a pod gets it: limits of its containers and the overhead. */
  memory_mib: mebibytes.min(4),
  /** Absent: the pool's. */
  level: shellLevel.optional(),
  size: z.number().int().min(0).max(10_000),
});

const streamingTls = z.strictObject({
  /** PEM files: the server's certificate with its chain, and its key. */
  certificate_file: absolutePath,
  key_file: absolutePath,
  /** PEM file of the authorities of clients; with it, a client must show a certificate. */
  client_ca_file: absolutePath.optional(),
});

/** Where exec, attach and port-forward are streamed to kubelet. */
const streaming = z
  .strictObject({
    /** An IP address. kubelet is on the same machine; other than loopback needs TLS. */
    address: z.union([z.ipv4(), z.ipv6()]).default("127.0.0.1"),
    /** 0 = any that is free. */
    port: z.number().int().min(0).max(65_535).default(0),
    tls: streamingTls.optional(),
  })
  .refine(({ address, tls }) => tls !== undefined || /^(127\.|::1$)/.test(address), {
    message: "an address that others can reach needs streaming.tls: tokens would go in the clear",
    path: ["address"],
  });

/** The file as an administrator writes it. Every key is optional. */
const fileSchema = z.strictObject({
  /** UNIX socket on which the CRI is served. */
  socket: absolutePath.default("/run/lightvm/lightvmd.sock"),
  /** What dies with the machine: directories of shells and pods. */
  run_directory: absolutePath.default("/run/lightvm"),
  /** What survives a reboot: records, images, jails. */
  state_directory: absolutePath.default("/var/lib/lightvm"),
  /** Binaries, guest kernels, addon. */
  library_directory: absolutePath.default("/usr/lib/lightvm"),
  log: z
    .strictObject({
      level: z.enum(["trace", "debug", "info", "warn", "error", "fatal"]).default("info"),
    })
    .prefault({}),
  metrics: z
    .strictObject({
      /** Where Prometheus finds /metrics; "" = nowhere. Anybody who reaches it can read it. */
      address: address.prefault(""),
    })
    .prefault({}),
  vm: z
    .strictObject({
      /** vCPUs of a pod whose containers ask for none. */
      vcpus: z.number().int().min(1).max(64).default(1),
      /** RAM of a pod whose containers ask for none. */
      memory_mib: mebibytes.min(16).default(64),
      /** RAM that a pod's VM starts with; it takes more from Xen, up to its size, as it needs it. */
      initial_memory_mib: mebibytes.min(16).default(20),
      /** RAM added to what the containers ask for: guest kernel, agent, page tables. */
      overhead_mib: z.number().int().nonnegative().default(24),
      /** RAM of a pod of unikernels that asks for none, unless its image does. A multiple of 4. */
      unikernel_memory_kib: z.number().int().multipleOf(4).min(2048).default(2048),
      /** From unpause until the agent has said hello. */
      boot_timeout_seconds: seconds.default(30),
      /** One call to a VMM process, boot and agent calls aside. */
      vmm_timeout_seconds: seconds.default(20),
      /** Xen memory that pods may not use. */
      reserved_memory_mib: z.number().int().nonnegative().default(32),
      /** noxs device slots: what a guest can ever hold at once (three are used by the base). */
      device_slots: z.number().int().min(4).max(63).default(32),
      /** Added to the guest kernel's command line. */
      kernel_arguments: z.string().default(""),
      /** VMs that are built and booted at once; absent: one a CPU of dom0, at least four. */
      starts_at_once: z.number().int().min(1).max(1024).optional(),
      /** First uid (and gid) of the VMM processes; each pod gets one of its own above it. */
      first_uid: z.number().int().min(1).default(2_000_000_000),
    })
    .prefault({}),
  pool: z
    .strictObject({
      /** Shells that wait for pods like those of late, beside the declared flavors. */
      size: z.number().int().min(0).max(10_000).default(0),
      /** How far they are made ready. */
      level: shellLevel.default("booted"),
      /** Xen memory that all shells together may hold. They give way to pods that need it. */
      memory_mib: mebibytes.default(1024),
      /** Shells that are made at once, in the background. */
      refills_at_once: z.number().int().min(1).max(64).default(2),
      /** How long no pod must have been started before shells are made. */
      refill_after_seconds: z.number().nonnegative().default(1),
      flavors: z.array(flavor).default([]),
    })
    .prefault({}),
  image: z
    .strictObject({
      /** Registry host (as in the image reference) → how to reach it. */
      registries: z.record(z.string(), registry).default({}),
      /** One directory a registry host with a hosts.toml, in containerd's form. */
      hosts_directory: absolutePath.default("/etc/lightvm/certs.d"),
    })
    .prefault({}),
  streaming: streaming.prefault({}),
  network: z
    .strictObject({
      cni_config_directory: absolutePath.default("/etc/cni/net.d"),
      cni_binary_directory: absolutePath.default("/opt/cni/bin"),
      /** One run of one plugin. */
      cni_timeout_seconds: seconds.default(60),
      /** Network namespaces that wait for pods. */
      ready_namespaces: z.int().min(0).max(1024).default(4),
    })
    .prefault({}),
});

export type LogLevel = Config["log"]["level"];
/** How one registry is reached. */
export type RegistryConfig = z.output<typeof registry>;
/** The whole configuration, defaults filled in. Keys are spelled as in the file. */
export type Config = z.output<typeof fileSchema>;

/** Checks a parsed TOML document. `origin` names it in the error. */
export function parseConfig(document: unknown, origin: string): Config {
  const result = fileSchema.safeParse(document);
  if (result.success) return result.data;
  const issues = result.error.issues.map((issue) => {
    const key = issue.path.join(".");
    return key === "" ? issue.message : `${key}: ${issue.message}`;
  });
  throw new LightvmError("invalid-argument", `${origin} is not valid: ${issues.join("; ")}`);
}

/**
 * Reads the configuration. A file that does not exist means all defaults, but only at the default
 * path: one that was asked for must be there.
 */
export function loadConfig(path: string | undefined): Config {
  const file = path ?? DEFAULT_CONFIG_PATH;
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (path === undefined && (error as NodeJS.ErrnoException).code === "ENOENT") {
      return parseConfig({}, "the default configuration");
    }
    throw new LightvmError("not-found", `cannot read the configuration ${file}`, { cause: error });
  }
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw new LightvmError("invalid-argument", `${file} is not valid TOML`, { cause: error });
  }
  return parseConfig(document, file);
}
