// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it, vi } from "vitest";
import { LightvmError } from "../shared/errors.ts";
import { silentLogger } from "../shared/logger.ts";
import { checkNetworks } from "./network-check.ts";
import type { Sandbox, SandboxState } from "./sandbox.ts";

function sandbox(id: string, state: SandboxState = "ready") {
  const metadata = { config: { name: `${id}-name`, namespace: "default" } } as Sandbox["metadata"];
  return { id, state, metadata };
}

/** A logger whose warnings are kept, with the pod that each is about. */
function listening() {
  const logger = silentLogger();
  const warnings: string[] = [];
  vi.spyOn(logger, "child").mockImplementation((bindings) => {
    const child = silentLogger();
    vi.spyOn(child, "warn").mockImplementation((() => {
      warnings.push(String((bindings as { pod: string }).pod));
    }) as typeof child.warn);
    return child as never;
  });
  return { logger, warnings };
}

const { signal } = new AbortController();

describe("the networks of pods that were found again", () => {
  it("are looked at, and the broken ones named", async () => {
    const { logger, warnings } = listening();
    const seen: string[] = [];
    const check = async (id: string) => {
      seen.push(id);
      if (id === "broken") throw new LightvmError("internal", "no such chain");
    };
    const all = [sandbox("broken"), sandbox("ended", "not-ready"), sandbox("whole")];
    await checkNetworks(all, { check }, logger, signal);
    expect(seen.sort()).toEqual(["broken", "whole"]);
    expect(warnings).toEqual(["broken"]);
  });

  it("are no matter once a pod has been stopped", async () => {
    const { logger, warnings } = listening();
    const pod = sandbox("stopped") as { state: SandboxState } & ReturnType<typeof sandbox>;
    const check = async () => {
      pod.state = "not-ready";
      throw new LightvmError("failed-precondition", "in no network");
    };
    await checkNetworks([pod], { check }, logger, signal);
    expect(warnings).toEqual([]);
  });

  it("are left when lightvmd is told to end", async () => {
    const { logger, warnings } = listening();
    const ending = new AbortController();
    const check = (_id: string, either: AbortSignal) =>
      new Promise<never>((_resolve, reject) => {
        either.addEventListener("abort", () => reject(either.reason));
        ending.abort();
      });
    await checkNetworks([sandbox("a"), sandbox("b")], { check }, logger, ending.signal);
    expect(warnings).toEqual([]);
  });
});
