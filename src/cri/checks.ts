// SPDX-License-Identifier: Apache-2.0
import { posix } from "node:path";
import { LightvmError } from "../shared/errors.ts";

/** A request that can never succeed as it stands. */
export function invalid(message: string): LightvmError {
  return new LightvmError("invalid-argument", message);
}

/** A request for something that LightVM does not have, by name. */
export function unsupported(message: string): LightvmError {
  return new LightvmError("unimplemented", message);
}

/** A message field that must be there. */
export function required<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw invalid(`the request has no ${what}`);
  return value;
}

/** An int64 that fits a JavaScript number. */
export function safeNumber(value: bigint, what: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw invalid(`${what} of ${value} is out of range`);
  return number;
}

/** The same, and not negative. */
export function natural(value: bigint, what: string): number {
  if (value < 0n) throw invalid(`${what} of ${value} is negative`);
  return safeNumber(value, what);
}

/** Text that goes to a guest as one line or one word of a file: no NUL, no line break. */
export function oneLine(value: string, what: string): string {
  if (/[\0\r\n]/.test(value)) throw invalid(`${what} contains a line break or a NUL byte`);
  return value;
}

/** An absolute path, without "." and "..", double and last slashes. */
export function absolutePath(path: string, what: string): string {
  if (!path.startsWith("/")) throw invalid(`${what} "${path}" is not absolute`);
  const normal = posix.normalize(oneLine(path, what));
  return normal.length > 1 && normal.endsWith("/") ? normal.slice(0, -1) : normal;
}
