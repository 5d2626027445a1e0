// SPDX-License-Identifier: Apache-2.0
//
// Test only: a lightvmd without Xen and registries, as a process that can be killed.
//   lightvmd-process.ts ROOT
import { join } from "node:path";
import { describeError } from "../../src/shared/errors.ts";
import { createLogger } from "../../src/shared/logger.ts";
import { nodePaths } from "../../src/shared/paths.ts";
import { LightvmToolstack } from "../../src/toolstack/lightvm-toolstack.ts";
import { FakeDeviceHost } from "./fake-device-host.ts";
import { FakeHypervisor } from "./fake-hypervisor.ts";
import { FakeImages } from "./fake-images.ts";
import { FakeNetwork } from "./fake-network.ts";
import { FakeVolumeHost } from "./fake-volume-host.ts";
import { benchConfig, startLife } from "./node-life.ts";
import { NodeProcessStarter } from "./node-process-starter.ts";

const [root = ""] = process.argv.slice(2);
const config = benchConfig(root);
const logger = createLogger({ level: "warn" });
const toolstack = new LightvmToolstack({
  config,
  paths: nodePaths(config),
  hypervisor: new FakeHypervisor(join(root, "domains")),
  processes: new NodeProcessStarter(),
  volumeHost: new FakeVolumeHost(),
  deviceHost: new FakeDeviceHost(),
  logger,
  watchIntervalMs: 20,
});
const images = new FakeImages(root);
await images.pull("registry.test/busybox:1");
await images.pull("registry.test/noop:1");
try {
  await startLife(root, { toolstack, images, network: new FakeNetwork(root), logger });
  console.log("ready");
} catch (error) {
  console.log(describeError(error));
  process.exit(1);
}
