// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../shared/errors.ts";
import { waitFor } from "../shared/wait.ts";
import { domainUuid } from "./domain-uuid.ts";
import type { DomainFate, DomainWatch } from "./domain-watch.ts";
import type { Shell } from "./shell.ts";
import { lastWords } from "./vm-end.ts";

/** How a guest shows that it has started. */
export interface StartSign {
  readonly seen: Promise<unknown>;
  /** What has not happened when the time is over. */
  readonly missing: string;
}

/**
 * Waits until the agent of a guest that has just been unpaused says hello. Throws "unavailable"
 * with the end of the boot log when the guest ends, its VMM dies or `timeoutMs` passes first;
 * "cancelled" when the caller gives up.
 */
export async function awaitBoot(
  shell: Shell,
  watch: DomainWatch,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const hello = { seen: shell.events.ready, missing: "the agent did not answer" };
  await awaitStart(shell, watch, hello, timeoutMs, signal);
}

/** The same for a guest with another sign. */
export async function awaitStart(
  shell: Shell,
  watch: DomainWatch,
  sign: StartSign,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { plan, events, client } = shell;
  const { promise: crashed, resolve: onCrash } = Promise.withResolvers<DomainFate>();
  using _watching = watch.watch(shell.domid, domainUuid(shell.id), onCrash);
  const outcome = Promise.race([
    sign.seen.then(() => undefined),
    events.ended.then((end) => new LightvmError("unavailable", end.message)),
    client.lost,
    crashed.then(async (fate) => {
      const { message } = await shell.endOf(fate);
      return new LightvmError("unavailable", message);
    }),
  ]);
  let failure: unknown;
  try {
    failure = await waitFor(outcome, "the guest's boot", { signal, timeoutMs });
  } catch (error) {
    if (error instanceof LightvmError && error.code === "cancelled") throw error;
    const message = `${sign.missing} within ${timeoutMs / 1000} s`;
    failure = new LightvmError("unavailable", message);
  }
  if (failure === undefined) return;
  const words = lastWords(plan.directory.bootLog);
  const tail = words === "" ? "its boot log is empty" : `its boot log ends: ${words}`;
  const reason = failure instanceof Error ? failure.message : String(failure);
  throw new LightvmError("unavailable", `the VM did not boot: ${reason}; ${tail}`);
}
