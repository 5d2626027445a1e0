// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import type { Attachment, Dns, Network, NetworkRequest } from "../../network/network.ts";
import { POD_INTERFACE } from "../../network/network.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import { LightvmError } from "../../shared/errors.ts";
import type { PodVm } from "../../toolstack/pod-vm.ts";

/** Where the node itself looks names up. */
const NODE_RESOLVER = "/etc/resolv.conf";

/** What a sandbox asks of the network. */
export function networkRequest({ id, metadata }: Sandbox): NetworkRequest {
  const { annotations, dns, name, namespace, portMappings, uid } = metadata.config;
  return { id, name, namespace, uid, portMappings, dns, annotations };
}

/** Gives a VM its interface and has the agent set it up as the plugins have set up the host's. */
export async function connectVm(
  network: Network,
  vm: PodVm,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  using tap = await network.openTap(id, true);
  await vm.attachNetwork(tap, signal);
  const { addresses, mac, mtu, routes } = tap;
  const value = {
    mac,
    name: POD_INTERFACE,
    mtu,
    addresses: [...addresses],
    routes: [...routes],
  };
  await vm.call({ $case: "configureNetwork", value }, { signal });
}

/** The pod's own settings, else what its network says, else the node's, as other runtimes do. */
export async function dnsOf(own: Dns, attachment: Attachment): Promise<Dns> {
  if (!isEmpty(own)) return own;
  if (attachment.dns.servers.length > 0) return attachment.dns;
  return await nodeDns();
}

function isEmpty({ servers, searches, options }: Dns): boolean {
  return servers.length + searches.length + options.length === 0;
}

async function nodeDns(): Promise<Dns> {
  let text: string;
  try {
    text = await readFile(NODE_RESOLVER, "utf8");
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return parseResolver("");
    throw new LightvmError("internal", `cannot read ${NODE_RESOLVER}`, { cause });
  }
  return parseResolver(text);
}

/** resolv.conf(5), as far as pods need it; the last "search" counts. */
export function parseResolver(text: string): Dns {
  const lines = text.split("\n").map((line) => line.trim().split(/\s+/));
  const words = (keyword: string) => lines.filter(([first]) => first === keyword);
  return {
    servers: words("nameserver").flatMap(([, server]) => server ?? []),
    searches: words("search").at(-1)?.slice(1) ?? [],
    options: words("options").flatMap(([, ...options]) => options),
  };
}
