// SPDX-License-Identifier: Apache-2.0
import type { Readable } from "node:stream";
import type { TerminalSize } from "./session.ts";

/** A size is far shorter; a client that sends more without completing one is not heard any more. */
const MAX_TEXT = 1024;
const MAX_SIDE = 0xffff;

/**
 * Reads the sizes that a client tells, one JSON object {"Width":80,"Height":24} after the other.
 * What is no size is skipped. Ends with the stream, however that ends.
 */
export async function* terminalSizes(source: Readable | undefined): AsyncGenerator<TerminalSize> {
  if (source === undefined) return;
  let text = "";
  try {
    for await (const chunk of source) {
      text += (chunk as Buffer).toString("latin1");
      for (let end = text.indexOf("}"); end >= 0; end = text.indexOf("}")) {
        const size = parseSize(text.slice(0, end + 1));
        text = text.slice(end + 1);
        if (size !== undefined) yield size;
      }
      if (text.length > MAX_TEXT) return;
    }
  } catch {
    // The session is over, which its owner knows.
  }
}

function parseSize(text: string): TerminalSize | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { Width: width, Height: height } = value as Record<string, unknown>;
  return isSide(width) && isSide(height) ? { width, height } : undefined;
}

function isSide(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) > 0 && Number(value) <= MAX_SIDE;
}
