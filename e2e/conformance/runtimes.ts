// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import { Containerd, writeHostsFiles } from "../framework/containerd.ts";
import { Daemon } from "../framework/daemon.ts";
import { tracesOfPods, tracesOnNode } from "../framework/traces.ts";
import { REGISTRY_HOSTS } from "./images/images.ts";
import { NETWORK_DIRECTORY } from "./network.ts";

const CONTAINERD_TRACES = `
  find /proc/[0-9]*/exe -lname '*/containerd-shim*' -printf 'process %p\\n' 2>/dev/null
  find /run/netns /run/containerd/runc/k8s.io -mindepth 1 -maxdepth 1 -printf 'file %p\\n' 2>/dev/null`;

/** A runtime that serves in the box. */
export interface RuntimeUnderTest extends AsyncDisposable {
  /** Name and version. */
  readonly name: string;
  /** "unix://…" */
  readonly endpoint: string;
  /** What it has on the node now; compared before and after a run. */
  traces(): Promise<readonly string[]>;
  log(): Promise<string>;
}

/** Runtimes whose conformance is told, in the order of the table. */
export const RUNTIMES = { lightvm, containerd } as const;
export type RuntimeName = keyof typeof RUNTIMES;

async function lightvm(box: Box, mirror: string): Promise<RuntimeUnderTest> {
  const mirrors = Object.fromEntries(REGISTRY_HOSTS.map((host) => [host, mirror]));
  await writeHostsFiles(box, "/etc/lightvm/certs.d", mirrors);
  const daemon = new Daemon(box);
  await daemon.start();
  const { stdout: version } = await box.exec("lightvm version");
  return {
    name: `lightvm ${version.trim()}`,
    endpoint: "unix:///run/lightvm/lightvmd.sock",
    traces: async () => await tracesOfPods(box),
    log: async () => await daemon.log(400),
    [Symbol.asyncDispose]: async () => await daemon.end(),
  };
}

async function containerd(box: Box, mirror: string): Promise<RuntimeUnderTest> {
  const mirrors = Object.fromEntries(REGISTRY_HOSTS.map((host) => [host, mirror]));
  const peer = await Containerd.start(box, { mirrors, networkDirectory: NETWORK_DIRECTORY });
  return {
    name: await peer.version(),
    endpoint: Containerd.endpoint,
    traces: async () => await tracesOnNode(box, CONTAINERD_TRACES),
    log: async () => await peer.log(400),
    [Symbol.asyncDispose]: async () => await peer[Symbol.asyncDispose](),
  };
}
