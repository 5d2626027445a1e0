#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
import { closeSync, mkdirSync, openSync } from "node:fs";
import { Command } from "commander";
import { openImages } from "./image/open-images.ts";
import { NativeNamespaces } from "./network/native-namespaces.ts";
import { openNetwork } from "./network/open-network.ts";
import { lockNode } from "./node-lock.ts";
import { reloadConfig } from "./reload.ts";
import { serveNode } from "./serve-node.ts";
import { type Config, DEFAULT_CONFIG_PATH, loadConfig } from "./shared/config.ts";
import { Database } from "./shared/database.ts";
import { describeError } from "./shared/errors.ts";
import { createLogger, type Logger } from "./shared/logger.ts";
import { loadAddon } from "./shared/native-addon.ts";
import { NativeProcessStarter } from "./shared/native-process-starter.ts";
import { nodePaths } from "./shared/paths.ts";
import { VERSION } from "./shared/version.ts";
import { LightvmToolstack } from "./toolstack/lightvm-toolstack.ts";
import { NativeDeviceHost } from "./toolstack/native-device-host.ts";
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
  const images = await openImages({
    config: config.image,
    database,
    directory: paths.images,
    logger,
  });
  const addon = loadAddon(paths.addon);
  const processes = new NativeProcessStarter(addon);
  const network = openNetwork({
    config,
    database,
    paths,
    namespaces: new NativeNamespaces(addon),
    processes,
    logger,
  });
  running.use(network);
  const toolstack = new LightvmToolstack({
    config,
    paths,
    hypervisor: new NativeHypervisor(addon),
    processes,
    volumeHost: new NativeVolumeHost(addon),
    deviceHost: new NativeDeviceHost(),
    logger,
  });

  onHangup(config, configPath, { logger, toolstack });
  running.use(
    await serveNode({ config, database, logger, images, network, toolstack }, terminated),
  );
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
