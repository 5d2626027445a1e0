// SPDX-License-Identifier: Apache-2.0
import type { Images } from "../image/images.ts";
import type { Network } from "../network/network.ts";
import type { Pods } from "../pod/pods.ts";
import type { Config } from "../shared/config.ts";
import type { Logger } from "../shared/logger.ts";
import type { NodeMetrics } from "../shared/metrics.ts";
import type { Toolstack } from "../toolstack/toolstack.ts";
import type { StreamingServer } from "./stream/streaming-server.ts";

/** What the verbs work with; made once, in main.ts. */
export interface NodeContext {
  readonly config: Config;
  readonly logger: Logger;
  readonly metrics: NodeMetrics;
  readonly pods: Pods;
  readonly images: Images;
  readonly network: Network;
  readonly toolstack: Toolstack;
  readonly streaming: StreamingServer;
  /** Throws, with the reason, when no pod can be started on this node. */
  readonly checkNode: () => void;
}
