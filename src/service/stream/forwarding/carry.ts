// SPDX-License-Identifier: Apache-2.0
import type { Duplex, Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";

/** Both directions between a client and the pod, each with its own end; both end when one breaks. */
export async function carryBothWays(
  client: { readonly input: Readable; readonly output: Writable },
  pod: Duplex,
): Promise<void> {
  try {
    await Promise.all([pipeline(client.input, pod), pipeline(pod, client.output)]);
  } finally {
    pod.destroy();
  }
}
