// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "./errors.ts";

/** How long a wait may take, and who may end it early. */
export interface WaitOptions {
  readonly signal?: AbortSignal | undefined;
  /** Milliseconds; absent = no deadline of its own. */
  readonly timeoutMs?: number | undefined;
}

/** Throws "cancelled" when the caller has given up already. `what` is a noun: "the boot". */
export function throwIfCancelled(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted === true) throw cancelled(signal, what);
}

/**
 * Waits for `promise`, but no longer than the options allow: throws "deadline-exceeded" or
 * "cancelled", with `what` (a noun phrase) in the message. The promise itself goes on; whoever
 * made it must stop the work behind it.
 */
export async function waitFor<T>(
  promise: Promise<T>,
  what: string,
  options: WaitOptions,
): Promise<T> {
  const { signal, timeoutMs } = options;
  // The promise may lose the race and reject later, when nobody listens any more.
  promise.catch(() => undefined);
  throwIfCancelled(signal, what);
  const { promise: interrupted, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(cancelled(signal, what));
  signal?.addEventListener("abort", onAbort, { once: true });
  const timer =
    timeoutMs === undefined
      ? undefined
      : setTimeout(() => reject(deadlineExceeded(what, timeoutMs)), timeoutMs);
  try {
    return await Promise.race([promise, interrupted]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", onAbort);
  }
}

function cancelled(signal: AbortSignal | undefined, what: string): LightvmError {
  return new LightvmError("cancelled", `${what} was cancelled`, { cause: signal?.reason });
}

function deadlineExceeded(what: string, timeoutMs: number): LightvmError {
  return new LightvmError("deadline-exceeded", `${what} took longer than ${timeoutMs / 1000} s`);
}
