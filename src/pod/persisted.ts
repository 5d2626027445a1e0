// SPDX-License-Identifier: Apache-2.0
import { z } from "zod";
import { LightvmError } from "../shared/errors.ts";

/** A time in nanoseconds since the epoch, a decimal string in JSON: too big for its numbers. */
export const nanoseconds = z.codec(z.string().regex(/^\d+$/), z.bigint(), {
  decode: (text) => BigInt(text),
  encode: (value) => String(value),
});

export const stringMap = z.record(z.string(), z.string());

/** The JSON text of a record. */
export function toText<S extends z.ZodType>(schema: S, value: z.output<S>): string {
  return JSON.stringify(z.encode(schema, value));
}

/** Reads a record back. Throws "data-loss", naming the record, when it is not what we wrote. */
export function fromText<S extends z.ZodType>(schema: S, text: string, what: string): z.output<S> {
  try {
    return z.decode(schema, JSON.parse(text) as z.input<S>);
  } catch (cause) {
    throw new LightvmError("data-loss", `the record of ${what} is damaged`, { cause });
  }
}

/** Host CLOCK_REALTIME in nanoseconds, as good as JavaScript knows it. */
export function now(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
