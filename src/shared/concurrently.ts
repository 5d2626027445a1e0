// SPDX-License-Identifier: Apache-2.0

/**
 * Does `work` for each item, at most `limit` at a time. The first failure aborts the others and is
 * thrown when all of them have ended, so nothing runs on behind the caller's back.
 */
export async function concurrently<T>(
  items: readonly T[],
  limit: number,
  signal: AbortSignal,
  work: (item: T, index: number, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const controller = new AbortController();
  const either = AbortSignal.any([signal, controller.signal]);
  const failures: unknown[] = [];
  const queue = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of queue) {
      if (either.aborted) return;
      try {
        await work(item, index, either);
      } catch (error) {
        failures.push(error);
        controller.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  if (failures.length > 0) throw failures[0];
}
