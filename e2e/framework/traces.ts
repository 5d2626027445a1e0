// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import { xenDump } from "./xen-dump.ts";

/** One domain, as Xen itself describes it (debug key `q`): neither we nor libxl are asked. */
export interface DomainDump {
  readonly domid: number;
  /** Pages that the domain holds. */
  readonly pages: number;
  /** Domain handle: 32 hexadecimal digits. */
  readonly handle: string;
  /** "hap refcounts translate external" for a PVH guest; empty for a PV one. */
  readonly paging: string;
}

/** Asks Xen for all its domains through its debug console. */
export async function dumpDomains(box: Box): Promise<DomainDump[]> {
  return (await xenDump(box, "q"))
    .split(/General information for domain /)
    .slice(1)
    .map((text) => ({
      domid: Number.parseInt(text, 10),
      pages: Number(/nr_pages=(\d+)/.exec(text)?.[1] ?? 0),
      handle: (/handle=([0-9a-f-]+)/.exec(text)?.[1] ?? "").replaceAll("-", ""),
      paging: /paging assistance: (.*)/.exec(text)?.[1]?.trim() ?? "",
    }));
}

/** What a pod of any runtime could leave behind on its node. Few processes: each is slow to start. */
const NODE = `
  sed 's/^[^ ]* \\([^ ]*\\) .*/mount \\1/' /proc/mounts
  for link in /sys/class/net/*; do
    # A bridge is the network's own and stays; so do the plugins' chains that are no pod's.
    [ -e $link/bridge ] || echo "network \${link##*/}"
  done
  iptables-save 2>/dev/null | sed -nE 's/^:(CNI-(DN-)?[0-9a-f]{20,}) .*/rule \\1/p'
  find /run/cni/leases -type f -name '[0-9a-f]*[.:]*' -printf 'lease %p\\n' 2>/dev/null`;

/** Traces of pods, one line each, sorted. `own`: a script that prints those of one runtime alone. */
export async function tracesOnNode(box: Box, own: string): Promise<string[]> {
  const { stdout } = await box.exec(`${NODE}\n${own}`);
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .sort();
}

/** Everything that a pod of ours could leave behind, one line each, sorted. */
export async function tracesOfPods(box: Box): Promise<string[]> {
  const traces = await tracesOnNode(
    box,
    `find /proc/[0-9]*/exe \\( -lname '*/lightvm-vmm' -o -lname '*/lightvm-files' \\) -printf 'process %p\\n' 2>/dev/null
    find /run/lightvm/pods /run/lightvm/shells /run/lightvm/netns /var/lib/lightvm/jails \\
      /var/lib/lightvm/images/work -mindepth 1 -printf 'file %p\\n' 2>/dev/null`,
  );
  const domains = (await dumpDomains(box)).map(({ domid }) => `domain ${domid}`);
  return [...traces, ...domains].sort();
}
