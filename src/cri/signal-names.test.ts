// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { Signal } from "../../cri-proto/generated/runtime/v1/container.ts";
import { signalNumber } from "../service/container/signals.ts";
import { signalName, wireSignal } from "./signal-names.ts";

it("leads from the CRI's number to Linux's and back", () => {
  expect(signalName(Signal.SIGNAL_SIGTERM)).toBe("SIGTERM");
  expect(signalName(Signal.SIGNAL_SIGRTMAXMINUS14)).toBe("SIGRTMAX-14");
  expect(signalName(Signal.SIGNAL_RUNTIME_DEFAULT)).toBeUndefined();
  for (let linux = 1; linux <= 64; linux += 1) {
    // The CRI leaves some out, as the two that C libraries keep for themselves.
    const name = signalName(wireSignal(linux));
    if (name !== undefined) expect(signalNumber(name)).toBe(linux);
  }
  expect(wireSignal(15)).toBe(Signal.SIGNAL_SIGTERM);
  expect(wireSignal(64)).toBe(Signal.SIGNAL_SIGRTMAX);
});
