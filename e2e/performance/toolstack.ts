// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import type { ToolstackReport, ToolstackRequest } from "./probe/toolstack/main.ts";
import { BoxProgram } from "./program.ts";
import { say } from "./progress.ts";

/** Milliseconds of the box's clock for which guests are left alone. */
export const IDLE_MS = 60_000;

/** Numbers of guests beside which everything is measured: none, few, and all of them. */
export function marksUpTo(crowd: number): number[] {
  const marks = [0, 1, 10, 25, 50, 100, 250, 500, 1000].filter((mark) => mark < crowd);
  return [...marks, crowd];
}

/** Measures the toolstack alone, beside up to `crowd` noop guests. No lightvmd runs meanwhile. */
export async function measureToolstack(
  box: Box,
  { crowd, samples }: { crowd: number; samples: number },
): Promise<ToolstackReport> {
  const marks = marksUpTo(crowd);
  say(`the toolstack alone, beside ${marks.join(", ")} noop guests`);
  const program = await BoxProgram.install(box, "probe/toolstack/main.ts");
  const request: ToolstackRequest = { samples, marks, idleMs: IDLE_MS };
  return await program.ask(request);
}
