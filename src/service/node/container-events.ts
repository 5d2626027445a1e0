// SPDX-License-Identifier: Apache-2.0
import type { PodEvent } from "../../pod/pod-events.ts";
import { LightvmError } from "../../shared/errors.ts";
import type { NodeContext } from "../node-context.ts";

/** Events that a client may be behind; one that is slower must list everything again anyway. */
const MAX_BEHIND = 1000;

/**
 * GetContainerEvents: what happens from now on, until `signal` is aborted. Throws
 * "resource-exhausted" when the client does not keep up.
 */
export async function* containerEvents(
  { pods }: NodeContext,
  signal: AbortSignal,
): AsyncGenerator<PodEvent> {
  const waiting: PodEvent[] = [];
  let wake = Promise.withResolvers<void>();
  const onAbort = () => wake.resolve();
  const unsubscribe = pods.events.subscribe((event) => {
    if (waiting.length <= MAX_BEHIND) waiting.push(event);
    wake.resolve();
  });
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    while (!signal.aborted) {
      await wake.promise;
      wake = Promise.withResolvers<void>();
      if (waiting.length > MAX_BEHIND) {
        const what = `the client is more than ${MAX_BEHIND} events behind`;
        throw new LightvmError("resource-exhausted", what);
      }
      yield* waiting.splice(0);
    }
  } finally {
    unsubscribe();
    signal.removeEventListener("abort", onAbort);
  }
}
