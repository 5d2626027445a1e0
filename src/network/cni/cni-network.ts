// SPDX-License-Identifier: Apache-2.0
//
// The network as CNI plugins make it (the specification's versions 0.3.0 to 1.1).
//
//            namespace made, record written        each plugin's ADD       result written
//   nothing ──────────────────────────────► half ────────────────────► … ────────────────► attached
//      ▲                                      │                                                │
//      └──────────────────────────────────────┴────── each plugin's DEL, in reverse ◄──────────┘
//                                                     record and namespace deleted
//
// The record says how to go back from wherever a crash has left a pod.
import { closeSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describeError, LightvmError } from "../../shared/errors.ts";
import type { Logger } from "../../shared/logger.ts";
import type { NamespaceReserve } from "../namespace-reserve.ts";
import type { Namespaces } from "../namespaces.ts";
import {
  type Attachment,
  type AttachmentStep,
  type Network,
  type NetworkRequest,
  POD_INTERFACE,
  type Tap,
} from "../network.ts";
import type { AttachmentRecord, AttachmentStore } from "./attachment-store.ts";
import { capabilityArguments, runtimeConfig } from "./capabilities.ts";
import { type NetworkList, type PluginConfig, readNetworkList } from "./network-list.ts";
import {
  type CniCommand,
  hasPlugin,
  type PluginOptions,
  type PluginRun,
  runPlugin,
} from "./plugin.ts";
import { attachmentOf, type CniResult } from "./result.ts";
import { Turns } from "./turns.ts";
import { atLeast } from "./versions.ts";

/** Runs of one plugin that is interrupted each time. */
const MOST_ATTEMPTS = 5;

export interface CniNetworkOptions {
  readonly configDirectory: string;
  readonly plugins: PluginOptions;
  /** Where pods' network namespaces are kept; nothing else is there. */
  readonly namespaceDirectory: string;
  readonly namespaces: Namespaces;
  /** Where new ones come from. */
  readonly reserve: NamespaceReserve;
  readonly store: AttachmentStore;
  readonly logger: Logger;
}

/** The network of a node whose administrator has configured CNI. */
export class CniNetwork implements Network {
  readonly #options: CniNetworkOptions;
  /** A pod is attached, checked or detached by one at a time. */
  readonly #turns = new Turns();

  constructor(options: CniNetworkOptions) {
    this.#options = options;
  }

  obstacle(): string | undefined {
    try {
      this.#readList();
      return undefined;
    } catch (error) {
      return describeError(error);
    }
  }

  async attach(request: NetworkRequest, signal: AbortSignal): Promise<Attachment> {
    return await this.#turns.take(request.id, async () => {
      const { reserve, store } = this.#options;
      const list = this.#readList();
      const record: AttachmentRecord = {
        version: 1,
        list,
        arguments: argumentsOf(request),
        capabilities: capabilityArguments(request, split(store.podCidr)),
      };
      store.write(request.id, record);
      const steps: AttachmentStep[] = [];
      const path = this.#namespaceOf(request.id);
      await timed(steps, "namespace", () => reserve.keepOneAt(path));
      let result: CniResult = {};
      for (const plugin of list.plugins) {
        const given = this.#configOf(record, plugin, result);
        const add = () => this.#run("ADD", request.id, record, plugin, given, signal);
        result = (await timed(steps, plugin.type, add)) ?? result;
      }
      store.write(request.id, { ...record, result });
      return { ...attachmentOf(result), steps };
    });
  }

  async openTap(id: string, offloads: boolean): Promise<Tap> {
    const path = this.#namespaceOf(id);
    const info = await this.#options.namespaces.openTap(path, POD_INTERFACE, offloads);
    return { ...info, offloads, [Symbol.dispose]: () => closeSync(info.fd) };
  }

  async check(id: string, signal: AbortSignal): Promise<void> {
    await this.#turns.take(id, async () => {
      const record = this.#options.store.find(id);
      if (record?.result === undefined) {
        throw new LightvmError("failed-precondition", `pod ${id} is in no network`);
      }
      const { list, result } = record;
      if (list.disableCheck || !atLeast(list.version, "0.4.0")) return;
      for (const plugin of list.plugins) {
        const config = this.#configOf(record, plugin, result);
        await this.#run("CHECK", id, record, plugin, config, signal);
      }
    });
  }

  async detach(id: string): Promise<void> {
    await this.#turns.take(id, async () => {
      const { namespaces, store } = this.#options;
      const record = store.find(id);
      if (record !== undefined) {
        // Before 0.4.0, DEL was not told what ADD had given back.
        const told = atLeast(record.list.version, "0.4.0") ? record.result : undefined;
        for (const plugin of record.list.plugins.toReversed()) {
          const config = this.#configOf(record, plugin, told ?? {});
          await this.#run("DEL", id, record, plugin, config);
        }
      }
      await namespaces.delete(this.#namespaceOf(id));
      store.delete(id);
    });
  }

  async collectGarbage(known: ReadonlySet<string>): Promise<void> {
    const { logger, store } = this.#options;
    const ours = new Set([...store.ids(), ...this.#keptNamespaces()]);
    for (const id of [...ours].filter((id) => !known.has(id))) {
      try {
        await this.detach(id);
        logger.info({ pod: id }, "took an unknown pod out of the network");
      } catch (error) {
        logger.error({ error, pod: id }, "an unknown pod could not be taken out of the network");
      }
    }
    await this.#runGarbageCollection();
  }

  setPodCidr(cidr: string): void {
    this.#options.store.podCidr = cidr;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#options.reserve[Symbol.asyncDispose]();
  }

  /** GC of each plugin: what is not among our attachments is dropped (CNI 1.1). */
  async #runGarbageCollection(): Promise<void> {
    const { logger, plugins, store } = this.#options;
    if (this.obstacle() !== undefined) return;
    const list = this.#readList();
    if (list.disableGC || !atLeast(list.version, "1.1.0")) return;
    const valid = store.ids().map((containerID) => ({ containerID, ifname: POD_INTERFACE }));
    for (const plugin of list.plugins) {
      const config = { ...baseConfig(list, plugin), "cni.dev/valid-attachments": valid };
      const { type } = plugin;
      const run = { command: "GC", type, network: list.name, environment: {}, config } as const;
      try {
        await runPlugin(plugins, run);
      } catch (error) {
        logger.warn({ error }, "a network plugin could not collect its garbage");
      }
    }
  }

  /** Throws "failed-precondition" when there is no network, or a plugin of it is missing. */
  #readList(): NetworkList {
    const { configDirectory, plugins } = this.#options;
    const list = readNetworkList(configDirectory);
    const missing = list.plugins.find(({ type }) => !hasPlugin(plugins, type));
    if (missing !== undefined) {
      throw new LightvmError(
        "failed-precondition",
        `network "${list.name}" needs the CNI plugin "${missing.type}", which is not in ${plugins.directory}`,
      );
    }
    return list;
  }

  #configOf(record: AttachmentRecord, plugin: PluginConfig, previous: CniResult): object {
    const given = runtimeConfig(plugin, record.capabilities);
    return {
      ...baseConfig(record.list, plugin),
      ...(given !== undefined && { runtimeConfig: given }),
      ...(Object.keys(previous).length > 0 && { prevResult: previous }),
    };
  }

  async #run(
    command: CniCommand,
    id: string,
    record: AttachmentRecord,
    { type }: PluginConfig,
    config: object,
    signal?: AbortSignal,
  ): Promise<CniResult | undefined> {
    const path = this.#namespaceOf(id);
    const environment = {
      CNI_CONTAINERID: id,
      // After a reboot it is gone, and after a crash it may not be there yet: DEL allows for that.
      CNI_NETNS: this.#options.namespaces.exists(path) ? path : "",
      CNI_IFNAME: POD_INTERFACE,
      CNI_ARGS: record.arguments,
    };
    const run = { command, type, network: record.list.name, environment, config };
    return await this.#runAgain(run, signal);
  }

  /** Runs a plugin until it was not interrupted. An ADD that failed is undone before the next one. */
  async #runAgain(run: PluginRun, signal?: AbortSignal): Promise<CniResult | undefined> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await runPlugin(this.#options.plugins, run, signal);
      } catch (error) {
        if (attempt === MOST_ATTEMPTS || !wasInterrupted(error)) throw error;
        this.#options.logger.info({ error }, "a network plugin was interrupted and is run again");
      }
      if (run.command === "ADD") await this.#runAgain({ ...run, command: "DEL" });
    }
  }

  #namespaceOf(id: string): string {
    return join(this.#options.namespaceDirectory, id);
  }

  #keptNamespaces(): string[] {
    try {
      return readdirSync(this.#options.namespaceDirectory);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }
}

/**
 * EINTR, as Go words it. The kernel says so of a list of addresses or links that changed while it was
 * read (NLM_F_DUMP_INTR in linux/netlink.h), which many pods that come and go at once bring about.
 */
function wasInterrupted(error: unknown): boolean {
  return error instanceof LightvmError && error.message.includes("interrupted system call");
}

/** Does a step and books how long it took. */
async function timed<T>(steps: AttachmentStep[], name: string, act: () => Promise<T>): Promise<T> {
  const began = process.hrtime.bigint();
  const result = await act();
  steps.push({ name, nanoseconds: process.hrtime.bigint() - began });
  return result;
}

function baseConfig({ name, version }: NetworkList, plugin: PluginConfig): object {
  return { ...plugin, name, cniVersion: version };
}

/** What Kubernetes' runtimes tell plugins; a value that would not be one word is left out. */
function argumentsOf({ id, name, namespace, uid }: NetworkRequest): string {
  const pairs = [
    ["IgnoreUnknown", "1"],
    ["K8S_POD_NAMESPACE", namespace],
    ["K8S_POD_NAME", name],
    ["K8S_POD_INFRA_CONTAINER_ID", id],
    ["K8S_POD_UID", uid],
  ] as const;
  return pairs
    .filter(([, value]) => !/[;=\s]/.test(value))
    .map(([key, value]) => `${key}=${value}`)
    .join(";");
}

function split(cidrs: string): string[] {
  return cidrs.split(",").filter((cidr) => cidr !== "");
}
