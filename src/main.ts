#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
import { closeSync, mkdirSync, openSync } from "node:fs";
import { Command } from "commander";
import { CriServer } from "./cri/server.ts";
import { openImages } from "./image/open-images.ts";
import { serveMetrics } from "./metrics-endpoint.ts";
import { openNetwork } from "./network/open-network.ts";
import { lockNode } from "./node-lock.ts";
import { PodStore } from "./pod/pod-store.ts";
import { Pods } from "./pod/pods.ts";
import { recover } from "./pod/recovery.ts";
import { reloadConfig } from "./reload.ts";
import { exportPodMetrics } from "./service/node/exported-metrics.ts";
import { exportPoolMetrics } from "./service/node/exported-pool-metrics.ts";
import { StreamingServer } from "./service/stream/streaming-server.ts";
import { type Config, DEFAULT_CONFIG_PATH, loadConfig } from "./shared/config.ts";
import { Database } from "./shared/database.ts";
import { describeError } from "./shared/errors.ts";
import { createLogger, type Logger } from "./shared/logger.ts";
import { NodeMetrics } from "./shared/metrics.ts";
import { nodePaths } from "./shared/paths.ts";
import { VERSION } from "./shared/version.ts";
import { LightvmToolstack } from "./toolstack/lightvm-toolstack.ts";
import { NativeHypervisor } from "./toolstack/native-hypervisor.ts";
import { NativeVolumeHost } from "./toolstack/native-volume-host.ts";

/** Serves until SIGTERM or SIGINT. The pods go on living; the next lightvmd finds them again. */
async function serve(configPath: string | undefined): Promise<void> {
  const terminated = termination();
  const config = loadConfig(configPath);
  const logger = createLogger(config.log);
  const paths = nodePaths(config);
  logger.info({ version: VERSION, pid: process.pid }, "lightvmd starts");

  await using running = new AsyncDisposableStack();
  mkdirSync(config.run_directory, { recursive: true, mode: 0o711 });
  mkdirSync(config.state_directory, { recursive: true, mode: 0o711 });
  running.use(await lockNode(config.state_directory));

  makePrivate(paths.database);
  const database = running.use(new Database(paths.database));
  const pods = new Pods(new PodStore(database));
  const images = await openImages({
    config: config.image,
    database,
    directory: paths.images,
    logger,
  });
  const hypervisor = NativeHypervisor.load(paths.addon);
  const volumeHost = NativeVolumeHost.load(paths.addon);
  const toolstack = new LightvmToolstack({ config, paths, hypervisor, volumeHost, logger });
  const checkNode = () => toolstack.checkFiles();

  onHangup(config, configPath, { logger, toolstack });

  const network = openNetwork({ config: config.network, database, paths, logger });

  await recover({ pods, network, toolstack, logger }, terminated);
  toolstack.start();
  running.defer(() => toolstack.close());

  const metrics = new NodeMetrics();
  exportPodMetrics(metrics, pods);
  exportPoolMetrics(metrics, toolstack);
  if (config.metrics.address !== undefined) {
    running.use(await serveMetrics(config.metrics.address, metrics, logger));
  }
  const streaming = running.use(await StreamingServer.listen(config.streaming, logger));
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
  running.defer(() => server.close());
  logger.info({ socket: config.socket, sandboxes: pods.sandboxes().length }, "lightvmd is ready");

  await aborted(terminated);
  logger.info({ signal: terminated.reason }, "lightvmd stops; its pods go on");
}

/** Records hold the environments of containers. SQLite gives its other files the same mode. */
function makePrivate(file: string): void {
  closeSync(openSync(file, "a", 0o600));
}

/** SIGHUP: the configuration is read again; what can change without a restart does. */
function onHangup(
  config: Config,
  path: string | undefined,
  { logger, toolstack }: { logger: Logger; toolstack: LightvmToolstack },
): void {
  let current = config;
  process.on("SIGHUP", () => {
    current = reloadConfig(current, path, logger);
    logger.level = current.log.level;
    toolstack.reconfigure(current.pool);
  });
}

/** Aborts when the process is asked to end. */
function termination(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.once(signal, () => controller.abort(signal));
  }
  return controller.signal;
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  signal.addEventListener("abort", () => resolve(), { once: true });
  await promise;
}

const program = new Command("lightvmd")
  .description("CRI runtime: each pod a Xen VM as light as a container")
  .version(VERSION)
  .option("--config <path>", `configuration of this node (default: ${DEFAULT_CONFIG_PATH})`)
  .action(({ config }: { config?: string }) => serve(config));

try {
  await program.parseAsync();
} catch (error) {
  console.error(`lightvmd: ${describeError(error)}`);
  process.exitCode = 1;
}
// Connections to VMMs stay open until the end of the process and would keep it.
process.exit();
