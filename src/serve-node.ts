// SPDX-License-Identifier: Apache-2.0
import { CriServer } from "./cri/server.ts";
import type { Images } from "./image/images.ts";
import { serveMetrics } from "./metrics-endpoint.ts";
import type { Network } from "./network/network.ts";
import { checkNetworks } from "./pod/network-check.ts";
import { PodStore } from "./pod/pod-store.ts";
import { Pods } from "./pod/pods.ts";
import { recover } from "./pod/recovery.ts";
import { exportPodMetrics } from "./service/node/exported-metrics.ts";
import { exportPoolMetrics } from "./service/node/exported-pool-metrics.ts";
import type { NodeContext } from "./service/node-context.ts";
import { StreamingServer } from "./service/stream/streaming-server.ts";
import type { Config } from "./shared/config.ts";
import type { Database } from "./shared/database.ts";
import type { Logger } from "./shared/logger.ts";
import { NodeMetrics } from "./shared/metrics.ts";
import type { LightvmToolstack } from "./toolstack/lightvm-toolstack.ts";

/** What a node is made of; main.ts and the tests' harness each choose their own. */
export interface NodeParts {
  readonly config: Config;
  readonly database: Database;
  readonly logger: Logger;
  readonly images: Images;
  readonly network: Network;
  readonly toolstack: LightvmToolstack;
}

/** A node that serves. Disposing it ends what serves; its pods go on living. */
export interface ServingNode extends AsyncDisposable {
  readonly context: NodeContext;
}

/**
 * Finds the pods of the lightvmd before this one again, then serves metrics, streams and the CRI.
 * Throws when `signal` is aborted meanwhile, and when an address or the socket is taken.
 */
export async function serveNode(parts: NodeParts, signal: AbortSignal): Promise<ServingNode> {
  const { config, database, images, logger, network, toolstack } = parts;
  await using serving = new AsyncDisposableStack();
  const pods = new Pods(new PodStore(database));
  await recover({ pods, network, toolstack, logger }, signal);
  serving.defer(() => toolstack.close());

  const metrics = new NodeMetrics();
  exportPodMetrics(metrics, pods);
  exportPoolMetrics(metrics, toolstack);
  if (config.metrics.address !== undefined) {
    serving.use(await serveMetrics(config.metrics.address, metrics, logger));
  }
  const streaming = serving.use(await StreamingServer.listen(config.streaming, logger));
  const checkNode = () => toolstack.checkFiles();
  const context = {
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
  const server = await CriServer.listen(context, config.socket);
  serving.defer(() => server.close());
  // Not before: while the socket is made, all new files have its umask.
  toolstack.start();
  logger.info({ socket: config.socket, sandboxes: pods.sandboxes().length }, "lightvmd is ready");
  const checking = new AbortController();
  const checked = checkNetworks(pods.sandboxes(), network, logger, checking.signal);
  serving.defer(async () => {
    checking.abort();
    await checked;
  });
  const ending = serving.move();
  return { context, [Symbol.asyncDispose]: () => ending.disposeAsync() };
}
