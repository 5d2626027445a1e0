// SPDX-License-Identifier: Apache-2.0
import type { Logger } from "../shared/logger.ts";

/**
 * Registers the way back of a step. When the verb fails, the caller is told why it failed; that
 * something could not be undone is logged, and left to the next start of lightvmd.
 */
export function onFailure(
  stack: AsyncDisposableStack,
  logger: Logger,
  what: string,
  undo: () => Promise<void> | void,
): void {
  stack.defer(async () => {
    try {
      await undo();
    } catch (error) {
      logger.error({ error, what }, "a step could not be undone");
    }
  });
}
