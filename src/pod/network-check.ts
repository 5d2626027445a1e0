// SPDX-License-Identifier: Apache-2.0
import type { Network } from "../network/network.ts";
import { concurrently } from "../shared/concurrently.ts";
import type { Logger } from "../shared/logger.ts";
import type { Sandbox } from "./sandbox.ts";

/** Plugins are processes, and pods are being started meanwhile. */
const AT_ONCE = 2;
/** Of one pod: a stop waits for as long. */
const CHECK_MS = 30_000;

/** What is asked of a sandbox here. */
type Checked = Pick<Sandbox, "id" | "state" | "metadata">;

/**
 * Has the plugins look at the network of each pod that runs (CNI's CHECK), and logs whose is not as
 * they have made it: while no lightvmd was there, somebody may have flushed the rules of a host port
 * or taken away an interface. Nothing else follows: plugins' checks are stricter than pods' needs, and
 * whether a pod still does its work its probes tell. Ends early, without an error, when `signal` is
 * aborted.
 */
export async function checkNetworks(
  sandboxes: readonly Checked[],
  network: Pick<Network, "check">,
  parent: Logger,
  signal: AbortSignal,
): Promise<void> {
  await concurrently(sandboxes, AT_ONCE, signal, async (sandbox) => {
    if (sandbox.state !== "ready") return;
    const { id, metadata } = sandbox;
    const { name, namespace } = metadata.config;
    const logger = parent.child({ pod: id, name, namespace });
    try {
      await network.check(id, AbortSignal.any([signal, AbortSignal.timeout(CHECK_MS)]));
      logger.debug("a pod's network is as its plugins have made it");
    } catch (error) {
      // One that was stopped meanwhile is in no network any more.
      if (signal.aborted || sandbox.state !== "ready") return;
      logger.warn(
        { error },
        "a pod's network is not as its plugins have made it; if it cannot be reached, make it anew",
      );
    }
  });
}
