// SPDX-License-Identifier: Apache-2.0
import { readdirSync } from "node:fs";
import type { NodePaths } from "../shared/paths.ts";
import { domainUuid } from "../toolstack/domain-uuid.ts";
import type { DomainInfo, Hypervisor } from "../toolstack/hypervisor.ts";
import { isSandboxId, PodDirectory } from "../toolstack/pod-directory.ts";

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

/** All pods that have a directory on this host, each with its domain. */
export function listPods(
  paths: Pick<NodePaths, "pods" | "jails">,
  hypervisor: Pick<Hypervisor, "listDomains">,
): PodLine[] {
  const domains = new Map(hypervisor.listDomains().map((domain) => [domain.uuid, domain]));
  return podIds(paths.pods).map((id) => {
    const spec = new PodDirectory(paths, id).readRecord()?.spec;
    const domain = domains.get(domainUuid(id));
    return {
      id,
      name: spec?.name ?? "",
      domid: domain?.domid,
      state: stateOf(domain),
      vcpus: domain?.vcpus ?? spec?.vcpus ?? 0,
      memoryMib: domain ? Number(domain.memoryBytes / MIB) : 0,
    };
  });
}

/** The list as columns. */
export function formatPods(pods: readonly PodLine[]): string {
  const rows = [
    ["POD", "NAME", "DOMID", "STATE", "VCPUS", "MEMORY"],
    ...pods.map(({ id, name, domid, state, vcpus, memoryMib }) => [
      id.slice(0, 13),
      name,
      domid === undefined ? "-" : String(domid),
      state,
      String(vcpus),
      `${memoryMib} MiB`,
    ]),
  ];
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function podIds(directory: string): string[] {
  try {
    return readdirSync(directory).filter(isSandboxId).sort();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function stateOf(domain: DomainInfo | undefined): PodLine["state"] {
  if (domain === undefined) return "gone";
  if (domain.dying) return "dying";
  if (domain.shutdown !== undefined) return "shut down";
  return domain.paused ? "paused" : "running";
}
