// SPDX-License-Identifier: Apache-2.0
import { Signal } from "../../cri-proto/generated/runtime/v1/container.ts";

const PREFIX = "SIGNAL_";
const BY_NUMBER = new Map(
  Object.entries(Signal)
    .filter(([name]) => name.startsWith(`${PREFIX}SIG`))
    .map(([name, number]) => [number as number, linuxName(name)]),
);
const BY_NAME = new Map([...BY_NUMBER].map(([number, name]) => [name, number]));

/** The CRI's number of a signal → "SIGTERM", "SIGRTMIN+3", "SIGRTMAX-1". */
export function signalName(signal: Signal): string | undefined {
  return BY_NUMBER.get(signal);
}

/** The way back; the CRI's "default" for a signal that it has no number for. */
export function signalOf(name: string): Signal {
  return (BY_NAME.get(name) ?? Signal.SIGNAL_RUNTIME_DEFAULT) as Signal;
}

/** "SIGNAL_SIGRTMINPLUS3" → "SIGRTMIN+3". */
function linuxName(member: string): string {
  return member.slice(PREFIX.length).replace("PLUS", "+").replace("MINUS", "-");
}
