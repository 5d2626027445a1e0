// SPDX-License-Identifier: Apache-2.0
import { throwIfCancelled } from "../../shared/wait.ts";
import type { Shell } from "../shell.ts";
import type { Shells } from "../shells.ts";
import { Stopwatch } from "../stopwatch.ts";
import type { Target } from "./plan.ts";

/**
 * Makes one shell in the background and brings it to its level. Throws what `Shells` throws, and
 * leaves nothing then.
 */
export async function makeShell(
  shells: Shells,
  { flavor, level }: Pick<Target, "flavor" | "level">,
  signal: AbortSignal,
): Promise<Shell> {
  const stopwatch = new Stopwatch();
  await using undo = new AsyncDisposableStack();
  const shell = undo.use(
    await shells.prepare(flavor, stopwatch, signal, { priority: "background" }),
  );
  await shell.handOver(signal);
  if (level === "loaded") await shell.load(signal);
  if (level === "booted") {
    await shells.boot(shell, stopwatch, signal);
    shell.pause();
  }
  throwIfCancelled(signal, "the making of a shell");
  shell.waitsAt(level);
  undo.move();
  return shell;
}
