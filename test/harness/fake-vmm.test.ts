// SPDX-License-Identifier: Apache-2.0
import { rmSync } from "node:fs";
import { expect, it } from "vitest";
import { Prepare } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { VmmClient } from "../../src/vmm/vmm-client.ts";
import { explainVmmDeath } from "../../src/vmm/vmm-death.ts";
import { spawnVmm } from "../../src/vmm/vmm-process.ts";
import { NodeProcessStarter } from "./node-process-starter.ts";
import { ToolstackBench } from "./toolstack-bench.ts";

it("a VMM that is to build a domain when its test is over ends, instead of trying for ever", async () => {
  using bench = new ToolstackBench({ guest: "boots" });
  const logPath = `${bench.root}/vmm.log`;
  const vmm = spawnVmm(new NodeProcessStarter(), {
    binary: bench.paths.vmmBinary,
    socketPath: `${bench.root}/vmm.sock`,
    logPath,
    onStarted: () => undefined,
  });
  await expect.poll(() => bench.livingVmms()).toEqual([vmm.identity.pid]);
  const client = VmmClient.overSocket(vmm.control, {
    listener: { guestEvent: () => undefined, processExited: () => undefined },
    explainLoss: () => explainVmmDeath(logPath, vmm.exited),
  });
  rmSync(bench.hypervisor.directory, { recursive: true });
  const prepared = client.call("prepare", Prepare.fromPartial({}), { timeoutMs: 10_000 });
  await expect(prepared).rejects.toThrow("the VMM process ended with exit code");
  expect(bench.livingVmms()).toEqual([]);
});
