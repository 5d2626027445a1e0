// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { ToolstackBench } from "../../test/harness/toolstack-bench.ts";
import type { Volume } from "./pod-volumes.ts";

const OPTIONS = { readOnly: false, recursively: false, followHost: false };

/** A host directory as a volume. */
function hostDirectory(bench: ToolstackBench, name: string): Volume {
  const hostPath = join(bench.root, "host", name);
  mkdirSync(hostPath, { recursive: true });
  return { hostPath, ...OPTIONS };
}

describe("volumes", () => {
  it("are mounted for one server, which ends with the VM", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const { mounted } = bench.volumeHost;
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    expect(bench.livingFileServers()).toEqual([]);
    const volumes = [hostDirectory(bench, "a"), { ...hostDirectory(bench, "b"), readOnly: true }];
    const both = await Promise.all([
      vm.attachVolumes("one", volumes, bench.signal),
      vm.attachVolumes("two", volumes.slice(0, 1), bench.signal),
    ]);
    expect(both.map(({ names }) => names)).toEqual([["one-0", "one-1"], ["two-0"]]);
    expect(both[0].deviceId).toBe(both[1].deviceId);
    const [server, ...others] = bench.livingFileServers();
    expect(others).toEqual([]);
    expect(mounted.get("one-1")).toEqual({
      source: volumes[1]?.hostPath,
      options: { ...OPTIONS, readOnly: true },
      server,
    });

    await vm.detachVolumes("one");
    await vm.detachVolumes("one");
    expect([...mounted.keys()]).toEqual(["two-0"]);
    await vm.destroy();
    expect(bench.leftovers()).toEqual([]);
  });

  it("outlive lightvmd, and go with the VM that the next one finds", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const first = await bench.toolstack().create(bench.spec(), bench.signal);
    const volume = hostDirectory(bench, "a");
    const { deviceId } = await first.attachVolumes("one", [volume], bench.signal);
    const servers = bench.livingFileServers();
    const vm = await bench.toolstack().adopt(bench.spec(), bench.signal);
    const again = await vm?.attachVolumes("two", [volume], bench.signal);
    expect(again).toMatchObject({ deviceId, names: ["two-0"] });
    expect(bench.livingFileServers()).toEqual(servers);
    await vm?.detachVolumes("one");
    expect([...bench.volumeHost.mounted.keys()]).toEqual(["two-0"]);
    await vm?.destroy();
    expect(bench.leftovers()).toEqual([]);
  });

  it("of nobody are removed", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    await vm.attachVolumes("one", [hostDirectory(bench, "a")], bench.signal);
    await bench.toolstack().destroyOrphans(new Set());
    expect(bench.leftovers()).toEqual([]);
  });

  it("without a server are refused with its last words, and can be tried again", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    const volume = hostDirectory(bench, "a");
    const { fileServerBinary } = bench.paths;
    const good = readFileSync(fileServerBinary, "utf8");
    writeFileSync(fileServerBinary, "#!/bin/sh\necho 'no namespaces here' >&2\nexit 1\n");
    await expect(vm.attachVolumes("one", [volume], bench.signal)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("its last words: no namespaces here"),
    });
    writeFileSync(fileServerBinary, good);
    expect((await vm.attachVolumes("one", [volume], bench.signal)).names).toEqual(["one-0"]);
    await vm.destroy();
  });

  it("that cannot be mounted are taken away again", async () => {
    using bench = new ToolstackBench({ guest: "boots" });
    const vm = await bench.toolstack().create(bench.spec(), bench.signal);
    const volumes = [hostDirectory(bench, "a"), { hostPath: join(bench.root, "none"), ...OPTIONS }];
    await expect(vm.attachVolumes("one", volumes, bench.signal)).rejects.toThrow();
    await vm.detachVolumes("one");
    expect(bench.volumeHost.mounted.size).toBe(0);
    await vm.destroy();
    expect(bench.leftovers()).toEqual([]);
  });
});
