// SPDX-License-Identifier: Apache-2.0
import { isIP } from "node:net";
import {
  type DNSConfig,
  type LinuxPodSandboxConfig,
  type PodSandboxConfig,
  type PortMapping,
  Protocol,
} from "../../cri-proto/generated/runtime/v1/sandbox.ts";
import type { RunPodSandboxRequest } from "../../cri-proto/generated/runtime/v1/sandbox_calls.ts";
import type { SandboxConfig } from "../pod/sandbox-record.ts";
import { checkRuntimeHandler, isForUnikernels } from "../service/node/runtime-handlers.ts";
import { invalid, natural, oneLine, required, safeNumber, unsupported } from "./checks.ts";
import { podNamespaces, userNamespace } from "./namespace-request.ts";
import { checkAppArmor } from "./security-request.ts";

const PROTOCOLS: Partial<Record<Protocol, "tcp" | "udp" | "sctp">> = {
  [Protocol.TCP]: "tcp",
  [Protocol.UDP]: "udp",
  [Protocol.SCTP]: "sctp",
};

/** Linux allows a host name of 64 bytes; DNS a label of 63. */
const MAX_HOSTNAME = 63;

/** Checks a RunPodSandboxRequest once; what comes out has no wire types any more. */
export function sandboxConfig(request: RunPodSandboxRequest): SandboxConfig {
  checkRuntimeHandler(request.runtimeHandler);
  const config = required(request.config, "config");
  const { name, uid, namespace, attempt } = required(config.metadata, "config.metadata");
  if (name === "") throw invalid("config.metadata.name is empty");
  if (config.windows !== undefined) throw unsupported("Windows pods do not exist here");
  return {
    name,
    uid,
    namespace,
    attempt,
    hostname: hostname(config.hostname, name),
    logDirectory: logDirectory(config.logDirectory),
    dns: dns(config.dnsConfig),
    portMappings: portMappings(config),
    sysctls: sysctls(config.linux),
    labels: config.labels,
    annotations: config.annotations,
    runtimeHandler: request.runtimeHandler,
    namespaces: podNamespaces(config.linux?.securityContext?.namespaceOptions),
    userNamespace: podUserNamespace(config, request.runtimeHandler),
    resources: resources(config.linux),
  };
}

function podUserNamespace(
  { annotations, linux }: PodSandboxConfig,
  runtimeHandler: string,
): SandboxConfig["userNamespace"] {
  const ids = userNamespace(linux?.securityContext?.namespaceOptions?.usernsOptions);
  if (ids !== undefined && isForUnikernels({ annotations, runtimeHandler })) {
    throw unsupported("a user namespace for unikernels, which have no users");
  }
  return ids;
}

/** Only those that lead somewhere from the node: a port of the pod alone needs nobody's help. */
function portMappings({ portMappings }: PodSandboxConfig): SandboxConfig["portMappings"] {
  return portMappings.filter(({ hostPort }) => hostPort !== 0).map(portMapping);
}

function portMapping(mapping: PortMapping): SandboxConfig["portMappings"][number] {
  const { containerPort, hostIp, hostPort, protocol } = mapping;
  const name = PROTOCOLS[protocol];
  if (name === undefined) throw invalid(`${protocol} is no protocol of a port mapping`);
  for (const port of [containerPort, hostPort]) {
    if (port < 1 || port > 65535) throw invalid(`${port} is no port`);
  }
  if (hostIp !== "" && isIP(hostIp) === 0) throw invalid(`"${hostIp}" is no address`);
  return { containerPort, hostPort, protocol: name, hostIP: hostIp };
}

/** The pod's name stands in for a host name that was not given. */
function hostname(wanted: string, podName: string): string {
  if (wanted === "") return podName.slice(0, MAX_HOSTNAME);
  if (wanted.length > 64 || !/^[A-Za-z0-9._-]+$/.test(wanted)) {
    throw invalid(`"${wanted}" cannot be a host name`);
  }
  return wanted;
}

function logDirectory(path: string): string {
  if (path !== "" && !path.startsWith("/")) {
    throw invalid(`config.log_directory "${path}" is not absolute`);
  }
  return oneLine(path, "config.log_directory");
}

function dns(config: DNSConfig | undefined): SandboxConfig["dns"] {
  const check = (words: readonly string[] | undefined, what: string) =>
    (words ?? []).map((word) => oneLine(word, `config.dns_config.${what}`));
  return {
    servers: check(config?.servers, "servers"),
    searches: check(config?.searches, "searches"),
    options: check(config?.options, "options"),
  };
}

function sysctls(linux: LinuxPodSandboxConfig | undefined): Record<string, string> {
  checkAppArmor(linux?.securityContext?.apparmor);
  for (const name of Object.keys(linux?.sysctls ?? {})) {
    if (!/^[a-zA-Z0-9_]+([./][a-zA-Z0-9_-]+)+$/.test(name)) {
      throw invalid(`"${name}" cannot be a sysctl`);
    }
  }
  return linux?.sysctls ?? {};
}

function resources(linux: LinuxPodSandboxConfig | undefined): SandboxConfig["resources"] {
  const pod = linux?.resources;
  const what = (field: string) => `config.linux.resources.${field}`;
  return {
    cpuShares: natural(pod?.cpuShares ?? 0n, what("cpu_shares")),
    cpuQuotaMicroseconds: safeNumber(pod?.cpuQuota ?? 0n, what("cpu_quota")),
    cpuPeriodMicroseconds: natural(pod?.cpuPeriod ?? 0n, what("cpu_period")),
    memoryLimitBytes: natural(pod?.memoryLimitInBytes ?? 0n, what("memory_limit_in_bytes")),
    overheadMemoryBytes: natural(
      linux?.overhead?.memoryLimitInBytes ?? 0n,
      "config.linux.overhead.memory_limit_in_bytes",
    ),
  };
}
