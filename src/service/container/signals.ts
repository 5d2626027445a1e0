// SPDX-License-Identifier: Apache-2.0
import { constants } from "node:os";
import { LightvmError } from "../../shared/errors.ts";

/** Linux numbers of the real-time signals as C libraries count them. */
const SIGRTMIN = 34;
const SIGRTMAX = 64;

/**
 * The Linux number of "SIGTERM", "TERM", "15", "SIGRTMIN+3" or "SIGRTMAX-1".
 * Throws "invalid-argument" for anything else.
 */
export function signalNumber(name: string): number {
  const number = /^\d+$/.test(name) ? Number(name) : byName(name.toUpperCase());
  if (number === undefined || number < 1 || number > SIGRTMAX) {
    throw new LightvmError("invalid-argument", `there is no signal "${name}"`);
  }
  return number;
}

function byName(name: string): number | undefined {
  const full = name.startsWith("SIG") ? name : `SIG${name}`;
  const [, base, offset] = /^SIGRT(MIN|MAX)([+-]\d+)?$/.exec(full) ?? [];
  if (base !== undefined) return (base === "MIN" ? SIGRTMIN : SIGRTMAX) + Number(offset ?? 0);
  if (full === "SIGCLD") return constants.signals.SIGCHLD;
  return constants.signals[full as NodeJS.Signals];
}
