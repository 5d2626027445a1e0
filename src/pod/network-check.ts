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
 * or taken away an interface. Nothing else follows: whether a pod still does its work its probes tell,
 * and plugins err. portmap 1.1.1, for one, looks for rules of a pod's IPv4 among those of IPv6
 * (containernetworking/plugins#819). Ends early, without an error, when `signal` is aborted.
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
      logger.debug("CNI's CHECK of a pod's network has passed");
    } catch (error) {
      // One that was stopped meanwhile is in no network any more.
      if (signal.aborted || sandbox.state !== "ready") return;
      logger.warn({ error }, "CNI's CHECK of a pod's network has failed");
    }
  });
}
