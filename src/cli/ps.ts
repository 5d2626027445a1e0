// SPDX-License-Identifier: Apache-2.0
import { columns } from "../shared/columns.ts";
import type { NodePaths } from "../shared/paths.ts";
import { domainUuid } from "../toolstack/domain-uuid.ts";
import type { DomainInfo, Hypervisor } from "../toolstack/hypervisor.ts";
import { PodLinks } from "../toolstack/pod-links.ts";
import { ShellDirectory } from "../toolstack/shell-directory.ts";

const MIB = 1024n * 1024n;

/** One pod's VM as the host sees it, with or without lightvmd. */
export interface PodLine {
  readonly id: string;
  readonly name: string;
  /** Absent when there is no such domain (any more). */
  readonly domid: number | undefined;
  readonly state: "running" | "paused" | "shut down" | "dying" | "gone";
  readonly vcpus: number;
  readonly memoryMib: number;
}

/** All pods that have a VM on this host, each with its domain. */
export function listPods(
  paths: Pick<NodePaths, "pods" | "shells" | "jails">,
  hypervisor: Pick<Hypervisor, "listDomains">,
): PodLine[] {
  const domains = new Map(hypervisor.listDomains().map((domain) => [domain.uuid, domain]));
  const links = new PodLinks(paths);
  const ids = links.podIds().sort();
  return ids.map((id) => {
    const shell = links.shellOf(id);
    const record = shell === undefined ? undefined : new ShellDirectory(paths, shell).readRecord();
    const domain = shell === undefined ? undefined : domains.get(domainUuid(shell));
    return {
      id,
      name: record?.pod?.name ?? "",
      domid: domain?.domid,
      state: stateOf(domain),
      vcpus: domain?.vcpus ?? record?.flavor.vcpus ?? 0,
      memoryMib: domain ? Number(domain.memoryBytes / MIB) : 0,
    };
  });
}

/** The list as columns. */
export function formatPods(pods: readonly PodLine[]): string {
  return columns([
    ["POD", "NAME", "DOMID", "STATE", "VCPUS", "MEMORY"],
    ...pods.map(({ id, name, domid, state, vcpus, memoryMib }) => [
      id.slice(0, 13),
      name,
      domid === undefined ? "-" : String(domid),
      state,
      String(vcpus),
      `${memoryMib} MiB`,
    ]),
  ]);
}

function stateOf(domain: DomainInfo | undefined): PodLine["state"] {
  if (domain === undefined) return "gone";
  if (domain.dying) return "dying";
  if (domain.shutdown !== undefined) return "shut down";
  return domain.paused ? "paused" : "running";
}
