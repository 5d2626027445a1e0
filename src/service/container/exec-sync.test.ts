// SPDX-License-Identifier: Apache-2.0
import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import {
  Failure_Code,
  type ProcessExited,
} from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { silentLogger } from "../../shared/logger.ts";
import { waitFor } from "../../shared/wait.ts";
import type { AgentCall, AgentReply, PodVm } from "../../toolstack/pod-vm.ts";
import { AgentError } from "../../vmm/failures.ts";
import type { NodeContext } from "../node-context.ts";
import { execSync } from "./exec-sync.ts";

/** A guest that starts the command before it can say so: `answer` is what exec waits for. */
function nodeWhoseGuest(answer: (wait: { signal: AbortSignal }) => Promise<AgentReply>) {
  const signals: string[] = [];
  let tell: (exit: ProcessExited) => void = () => undefined;
  const vm: Partial<PodVm> = {
    openStream: async () => new PassThrough(),
    onProcessExited(listener) {
      tell = listener;
      return () => undefined;
    },
    async call(call: AgentCall, wait) {
      if (call.$case !== "signal") return await answer(wait);
      const { containerId, execId, signal } = call.value;
      signals.push(`${containerId} ${signal}`);
      tell({ containerId, execId, exitCode: 137, signal } as ProcessExited);
      return { $case: "done", value: {} };
    },
  };
  const security = {
    supplementalGroups: [],
    ambientCapabilities: [],
    addCapabilities: [],
    dropCapabilities: [],
  };
  const process = { environment: [], capabilities: [] };
  const container = {
    id: "c",
    metadata: { config: { security }, process },
    require: () => undefined,
  };
  const sandbox = { requireVm: () => vm, onEnd: () => () => undefined };
  const pods = { getContainer: () => container, sandboxOf: () => sandbox };
  return { node: { logger: silentLogger(), pods } as unknown as NodeContext, signals };
}

describe("a command", () => {
  const request = { containerId: "c", command: ["sleep"], timeoutMs: 0 };

  it("is killed when its caller gives up before the guest has said that it runs", async () => {
    const caller = new AbortController();
    const { node, signals } = nodeWhoseGuest(({ signal }) => {
      setImmediate(() => caller.abort());
      return waitFor(new Promise(() => undefined), "the guest's answer", { signal });
    });
    const running = execSync(node, request, caller.signal);
    await expect(running).rejects.toMatchObject({ code: "cancelled" });
    expect(signals).toEqual(["c 9"]);
  });

  it("is not killed when it could not be started", async () => {
    const { node, signals } = nodeWhoseGuest(() =>
      Promise.reject(
        new AgentError({ code: Failure_Code.CODE_COMMAND_NOT_FOUND, message: "no such command" }),
      ),
    );
    const running = execSync(node, request, new AbortController().signal);
    await expect(running).rejects.toMatchObject({ message: "no such command" });
    expect(signals).toEqual([]);
  });
});
