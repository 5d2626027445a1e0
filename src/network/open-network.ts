// SPDX-License-Identifier: Apache-2.0
import type { Config } from "../shared/config.ts";
import type { Database } from "../shared/database.ts";
import type { Logger } from "../shared/logger.ts";
import type { NodePaths } from "../shared/paths.ts";
import type { ProcessStarter } from "../shared/process-starter.ts";
import { AttachmentStore } from "./cni/attachment-store.ts";
import { CniNetwork } from "./cni/cni-network.ts";
import { NamespaceReserve } from "./namespace-reserve.ts";
import type { Namespaces } from "./namespaces.ts";
import type { Network } from "./network.ts";

export interface NetworkOptions {
  readonly config: Pick<Config, "network" | "pool">;
  readonly database: Database;
  readonly paths: NodePaths;
  readonly namespaces: Namespaces;
  readonly processes: ProcessStarter;
  readonly logger: Logger;
}

/** The pod network of a node: CNI plugins in namespaces of the node's kernel. */
export function openNetwork(options: NetworkOptions): Network {
  const { database, logger, namespaces, paths, processes } = options;
  const { network: config, pool } = options.config;
  return new CniNetwork({
    configDirectory: config.cni_config_directory,
    plugins: {
      directory: config.cni_binary_directory,
      timeoutMs: config.cni_timeout_seconds * 1000,
      starter: processes,
    },
    namespaceDirectory: paths.networkNamespaces,
    namespaces,
    reserve: new NamespaceReserve({
      namespaces,
      size: config.ready_namespaces,
      quietMs: pool.refill_after_seconds * 1000,
      logger,
    }),
    store: new AttachmentStore(database),
    logger,
  });
}
