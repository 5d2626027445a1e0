// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { CriServer } from "../../src/cri/server.ts";
import type { Images } from "../../src/image/images.ts";
import type { Network } from "../../src/network/network.ts";
import { PodStore } from "../../src/pod/pod-store.ts";
import { Pods } from "../../src/pod/pods.ts";
import { recover } from "../../src/pod/recovery.ts";
import type { NodeContext } from "../../src/service/node-context.ts";
import { StreamingServer } from "../../src/service/stream/streaming-server.ts";
import { type Config, parseConfig } from "../../src/shared/config.ts";
import { Database } from "../../src/shared/database.ts";
import type { Logger } from "../../src/shared/logger.ts";
import { NodeMetrics } from "../../src/shared/metrics.ts";
import { nodePaths } from "../../src/shared/paths.ts";
import type { LightvmToolstack } from "../../src/toolstack/lightvm-toolstack.ts";

/** One life of lightvmd: everything that a kill takes away. */
export interface Life {
  readonly database: Database;
  readonly context: NodeContext;
  readonly server: CriServer;
}

/** The configuration of a node whose directories are all below `root`. */
export function benchConfig(root: string): Config {
  return parseConfig(
    {
      socket: join(root, "cri.sock"),
      run_directory: join(root, "run"),
      state_directory: join(root, "state"),
      library_directory: join(root, "lib"),
    },
    "the bench",
  );
}

/** Composes a lightvmd as main.ts does, and starts it. */
export async function startLife(
  root: string,
  parts: { toolstack: LightvmToolstack; images: Images; network: Network; logger: Logger },
): Promise<Life> {
  const { images, logger, network, toolstack } = parts;
  const config = benchConfig(root);
  const database = new Database(nodePaths(config).database);
  const pods = new Pods(new PodStore(database));
  await recover({ pods, network, toolstack, logger }, new AbortController().signal);
  const checkNode = () => toolstack.checkFiles();
  const metrics = new NodeMetrics();
  const streaming = await StreamingServer.listen(config.streaming, logger);
  const context: NodeContext = {
    config,
    logger,
    metrics,
    pods,
    images,
    network,
    toolstack,
    streaming,
    checkNode,
  };
  return { database, context, server: await CriServer.listen(context, config.socket) };
}
