// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
} from "node:fs";
import { basename, join } from "node:path";
import { describe, expect, it } from "vitest";
import {
  CreateContainer,
  ResizeTerminal,
} from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import { GuestEnd_Reason } from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { ToolstackBench } from "../../test/harness/toolstack-bench.ts";
import type { VmmBehaviour } from "../../test/harness/vmm-behaviour.ts";

describe("create", () => {
  it("gives a VM whose agent answers, and destroy leaves nothing", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    const [domain] = bench.hypervisor.listDomains();
    expect(domain).toMatchObject({ domid: vm.domid, paused: false });
    const shell = realpathSync(join(bench.paths.pods, bench.spec().id));
    expect(domain?.uuid).toBe(`4c564d31${basename(shell)}`);
    expect(vm.end).toBeUndefined();
    const reply = await vm.call({ $case: "ping", value: {} }, { signal: bench.signal });
    expect(reply.$case).toBe("done");
    const names = vm.breakdown.map((step) => `${step.phase}: ${step.name}`);
    expect(names).toContain("prepare: create");
    expect(names).toContain("execute: load");
    expect(names.at(-1)).toBe("toolstack: boot");

    await vm.destroy();
    await vm.destroy();
    expect(bench.leftovers()).toEqual([]);
    expect(vm.end?.reason).toBe("destroyed");
    expect(bench.hypervisor.log).toEqual(["destroy while VMM is gone"]);
  });

  it("refuses a pod that Xen has no memory for, with both figures", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    bench.hypervisor.totalMemoryBytes = 90n * 1024n * 1024n;
    await expect(bench.toolstack().create(bench.spec(), bench.signal)).rejects.toMatchObject({
      code: "resource-exhausted",
      message: expect.stringMatching(/Xen has 58 MiB free for pods and this one needs 65 MiB/),
    });
    expect(bench.leftovers()).toEqual([]);
  });

  it("counts the memory of creates that are still under way", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    bench.hypervisor.totalMemoryBytes = 130n * 1024n * 1024n;
    const toolstack = bench.toolstack();
    const both = await Promise.allSettled([
      toolstack.create(bench.spec("a"), bench.signal),
      toolstack.create(bench.spec("b"), bench.signal),
    ]);
    expect(both.map((each) => each.status).sort()).toEqual(["fulfilled", "rejected"]);
  });

  it("refuses a second VM of the same pod and leaves the first alone", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const toolstack = bench.toolstack();
    const vm = await toolstack.create(bench.spec(), bench.signal);
    for (const again of [toolstack, bench.toolstack()]) {
      await expect(again.create(bench.spec(), bench.signal)).rejects.toMatchObject({
        code: "already-exists",
      });
    }
    await vm.call({ $case: "ping", value: {} }, { signal: bench.signal });
  });
});

describe("a create that fails says why and leaves nothing", () => {
  const cases: [string, VmmBehaviour, { code: string; message: RegExp }][] = [
    [
      "the VMM dies at its start",
      { guest: "boots", dieAt: "start" },
      { code: "unavailable", message: /exit code 7; its last words: boom at start/ },
    ],
    [
      "the VMM dies in prepare",
      { guest: "boots", dieAt: "prepare" },
      { code: "unavailable", message: /exit code 7; its last words: boom at prepare/ },
    ],
    [
      "the VMM dies when the domain is there already",
      { guest: "boots", dieAt: "prepared" },
      { code: "unavailable", message: /boom at prepared/ },
    ],
    [
      "the VMM dies when it is handed its files",
      { guest: "boots", dieAt: "files" },
      { code: "unavailable", message: /exit code 7; its last words: boom at files/ },
    ],
    [
      "the VMM dies in execute",
      { guest: "boots", dieAt: "execute" },
      { code: "unavailable", message: /boom at execute/ },
    ],
    [
      "the VMM dies while the guest boots",
      { guest: "boots", dieAt: "boot" },
      { code: "unavailable", message: /did not boot: the VMM process .*boom at boot/ },
    ],
    [
      "Xen refuses the memory",
      { guest: "boots", prepareFails: "populate: out of memory" },
      { code: "resource-exhausted", message: /populate: out of memory/ },
    ],
    [
      "the VMM never answers prepare",
      { guest: "boots", hangsAt: "prepare" },
      { code: "deadline-exceeded", message: /prepare took longer than 5 s/ },
    ],
    [
      "the guest panics, and its VMM says so",
      { guest: "panics" },
      { code: "unavailable", message: /the guest panicked; .* Kernel panic - not syncing/ },
    ],
    [
      "the guest crashes, and its VMM does not notice",
      { guest: "crashes" },
      { code: "unavailable", message: /the guest crashed; .* Kernel panic/ },
    ],
    [
      "the agent never answers, and the VMM does not quit either",
      { guest: "is silent", ignoresQuit: true },
      { code: "unavailable", message: /the agent did not answer within 1 s/ },
    ],
  ];

  it.each(cases)("%s", async (_name, behaviour, { code, message }) => {
    const bootSeconds = behaviour.guest === "is silent" ? 1 : 20;
    const vmmSeconds = behaviour.hangsAt === undefined ? 20 : 5;
    using bench = new ToolstackBench(behaviour, { bootSeconds, vmmSeconds });
    const toolstack = bench.toolstack();
    await expect(toolstack.create(bench.spec(), bench.signal)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(bench.leftovers()).toEqual([]);
    bench.behave({ guest: "boots" });
    const retried = await toolstack.create(bench.spec(), bench.signal);
    await retried.destroy();
  });

  it.each(["prepare", "execute", "boot"] as const)("the caller gives up in %s", async (where) => {
    const behaviour: VmmBehaviour =
      where === "boot" ? { guest: "is silent" } : { guest: "boots", hangsAt: where };
    using bench = new ToolstackBench(behaviour);
    const controller = new AbortController();
    const creating = bench.toolstack().create(bench.spec(), controller.signal);
    const log = () =>
      readdirSync(bench.paths.shells).some((id) =>
        existsSync(join(bench.paths.shells, id, "boot.log")),
      );
    const running = () => bench.hypervisor.listDomains().some((domain) => !domain.paused);
    await expect
      .poll(
        () =>
          (where === "prepare" && bench.livingVmms().length === 1) ||
          (where === "execute" && log()) ||
          (where === "boot" && running()),
        { timeout: 10_000 },
      )
      .toBe(true);
    controller.abort();
    await expect(creating).rejects.toMatchObject({ code: "cancelled" });
    expect(bench.leftovers()).toEqual([]);
  });

  it("names the file that is missing", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const toolstack = bench.toolstack();
    toolstack.checkFiles();
    rmSync(bench.paths.kernelUp);
    expect(() => toolstack.checkFiles()).toThrow(/vmlinux-up/);
    await expect(toolstack.create(bench.spec(), bench.signal)).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("vmlinux-up"),
    });
    expect(bench.leftovers()).toEqual([]);
  });
});

describe("a running VM", () => {
  it("plugs an image once, hands log files over and relays streams", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    const image = bench.paths.kernelUp;
    const both = [vm.attachImage(image, bench.signal), vm.attachImage(image, bench.signal)];
    expect(await Promise.all(both)).toEqual([4, 4]);
    expect(await vm.attachImage(bench.paths.kernelSmp, bench.signal)).toBe(5);

    const log = join(bench.root, "logs", "c.log");
    await vm.setContainerLog("c", log, false, bench.signal);
    expect(readFileSync(log, "utf8")).toBe("log of c\n");

    const stream = await vm.openStream({ containerId: "c", execId: "e", stream: 2 }, bench.signal);
    stream.setEncoding("utf8");
    expect(await once(stream, "data")).toEqual(["hello c\n"]);
    stream.destroy();
  });

  it("keeps the agent's own word for a failure", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    const call = { $case: "createContainer", value: CreateContainer.create() } as const;
    await expect(vm.call(call, { signal: bench.signal })).rejects.toMatchObject({
      code: "invalid-argument",
      agentCode: 5,
      message: "no such command",
    });
  });

  it("powers off in good order", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    await vm.stop(10_000);
    expect(vm.end).toMatchObject({ reason: GuestEnd_Reason.REASON_POWEROFF, at: 42n });
    expect(bench.hypervisor.listDomains()).toEqual([]);
    await expect(
      vm.call({ $case: "ping", value: {} }, { signal: bench.signal }),
    ).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/has ended: the guest powered off/),
    });
    await vm.destroy();
    expect(bench.leftovers()).toEqual([]);
  });

  it("is destroyed when it does not power off in time", async () => {
    using bench = new ToolstackBench({ guest: "boots", ignoresShutdown: true });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    await vm.stop(100);
    expect(vm.end?.reason).toBe("destroyed");
    expect(bench.hypervisor.listDomains()).toEqual([]);
  });

  it("tells of exits while they happen, and afterwards from the journal of a killed VMM", async () => {
    using bench = new ToolstackBench({ guest: "boots", dieAt: "signal" });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    const signal = { containerId: "c", execId: "", signal: 15, all: false };
    const call = vm.call({ $case: "signal", value: signal }, { signal: bench.signal });
    await expect(call).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(/SIGKILL/),
    });
    expect(await vm.ended).toMatchObject({
      reason: "vmm-died",
      message: expect.stringMatching(/SIGKILL/),
    });
    expect(await vm.containerExits()).toMatchObject([{ containerId: "c", exitCode: 143 }]);
    await vm.destroy();
    expect(bench.leftovers()).toEqual([]);
  });

  it("breaks a call off with how it has ended itself, not how its VMM went", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    // Nobody answers this one here.
    const call = { $case: "resizeTerminal", value: ResizeTerminal.create() } as const;
    const pending = vm.call(call, { signal: bench.signal });
    await bench.hypervisor.destroyDomain(vm.domid);
    await expect(pending).rejects.toThrow(/has ended: the domain was destroyed from outside/);
    await vm.destroy();
    expect(bench.leftovers()).toEqual([]);
  });

  it("notices that its domain was destroyed from outside", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    await bench.hypervisor.destroyDomain(vm.domid);
    expect(await vm.ended).toMatchObject({
      reason: "destroyed",
      message: expect.stringMatching(/from outside/),
    });
    await vm.destroy();
    expect(bench.leftovers()).toEqual([]);
  });
});

describe("after a restart of lightvmd", () => {
  it("a living VM is adopted with its images and its future exits", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const before = await bench.toolstack().create(bench.spec(), bench.signal);
    await before.attachImage(bench.paths.kernelUp, bench.signal);
    const vm = await bench.toolstack().adopt(bench.spec(), bench.signal);
    expect(vm?.domid).toBe(before.domid);
    expect(vm?.end).toBeUndefined();
    expect(await vm?.attachImage(bench.paths.kernelUp, bench.signal)).toBe(4);
    const { promise, resolve } = Promise.withResolvers<number>();
    vm?.onProcessExited((exit) => resolve(exit.exitCode));
    const signal = { containerId: "c", execId: "", signal: 9, all: false };
    await vm?.call({ $case: "signal", value: signal }, { signal: bench.signal });
    expect(await promise).toBe(137);
    await vm?.destroy();
    expect(bench.leftovers()).toEqual([]);
  });

  it("a VM whose VMM died meanwhile is reported with the exits of its journal", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const before = await bench.toolstack().create(bench.spec(), bench.signal);
    const signal = { containerId: "c", execId: "", signal: 15, all: false };
    await before.call({ $case: "signal", value: signal }, { signal: bench.signal });
    const [pid = 0] = bench.livingVmms();
    // The lightvmd that made it must not see the death: what it would write down is put back.
    const directory = realpathSync(join(bench.paths.pods, bench.spec().id));
    cpSync(directory, join(bench.root, "copy"), {
      recursive: true,
      filter: (p) => !p.endsWith(".sock"),
    });
    process.kill(pid, "SIGKILL");
    await before.ended;
    rmSync(directory, { recursive: true });
    cpSync(join(bench.root, "copy"), directory, { recursive: true });

    const vm = await bench.toolstack().adopt(bench.spec(), bench.signal);
    expect(vm?.end?.reason).toBe("vmm-died");
    expect(await vm?.containerExits()).toMatchObject([{ containerId: "c", exitCode: 143 }]);
    expect(bench.hypervisor.listDomains()).toEqual([]);
    await vm?.destroy();
    expect(bench.leftovers()).toEqual([]);
  });

  it("an end that was written down is told again", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const before = await bench.toolstack().create(bench.spec(), bench.signal);
    await before.stop(10_000);
    const vm = await bench.toolstack().adopt(bench.spec(), bench.signal);
    expect(vm?.end).toEqual(before.end);
  });

  it("a pod of which nothing is left is undefined", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    expect(await bench.toolstack().adopt(bench.spec(), bench.signal)).toBeUndefined();
  });

  it("orphans are destroyed, and nothing that is not ours", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const first = bench.toolstack();
    await first.create(bench.spec("a"), bench.signal);
    const kept = await first.create(bench.spec("b"), bench.signal);
    bench.hypervisor.addDomain(90, `4c564d31${"c".repeat(24)}`);
    bench.hypervisor.addDomain(91, "0".repeat(32));
    symlinkSync("../shells/nothing", join(bench.paths.pods, "d".repeat(64)));
    const second = bench.toolstack();
    await second.destroyOrphans(new Set([bench.spec("b").id]));
    expect(readdirSync(bench.paths.pods)).toEqual([kept.id]);
    const left = bench.hypervisor.listDomains().map((domain) => domain.domid);
    expect(left.sort((a, b) => a - b)).toEqual([kept.domid, 91]);
    expect(bench.livingVmms()).toHaveLength(1);
    expect(existsSync(join(bench.paths.pods, "a".repeat(64)))).toBe(false);
  });
});
