// SPDX-License-Identifier: Apache-2.0
import { Signal } from "../../cri-proto/generated/runtime/v1/container.ts";
import { signalNumber } from "../service/container/signals.ts";

const PREFIX = "SIGNAL_";
/** The CRI's number → name. */
const NAMES = new Map<number, string>();
/** Linux's number → the CRI's; of two names for one signal, the first. */
const NUMBERS = new Map<number, Signal>();

for (const [member, number] of Object.entries(Signal)) {
  if (!member.startsWith(`${PREFIX}SIG`)) continue;
  // "SIGNAL_SIGRTMINPLUS3" → "SIGRTMIN+3".
  const name = member.slice(PREFIX.length).replace("PLUS", "+").replace("MINUS", "-");
  NAMES.set(number, name);
  const linux = signalNumber(name);
  if (!NUMBERS.has(linux)) NUMBERS.set(linux, number);
}

/** The CRI's number of a signal → "SIGTERM", "SIGRTMIN+3", "SIGRTMAX-1". */
export function signalName(signal: Signal): string | undefined {
  return NAMES.get(signal);
}

/** Linux's number of a signal → the CRI's. */
export function wireSignal(linux: number): Signal {
  return NUMBERS.get(linux) ?? Signal.SIGNAL_RUNTIME_DEFAULT;
}
