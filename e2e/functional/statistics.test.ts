// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";
import { scheduledDomains } from "../framework/xen-scheduler.ts";

interface Value {
  readonly value: string;
}
interface ContainerStats {
  readonly attributes: { readonly id: string };
  readonly cpu: { readonly usageCoreNanoSeconds: Value };
  readonly memory: { readonly workingSetBytes: Value; readonly availableBytes?: Value };
  readonly writableLayer: { readonly usedBytes: Value; readonly inodesUsed: Value };
}
interface Interface {
  readonly name: string;
  readonly rxBytes: Value;
  readonly txBytes: Value;
}
interface PodStats {
  readonly linux: {
    readonly cpu: { readonly usageCoreNanoSeconds: Value };
    readonly process: { readonly processCount: Value };
    readonly memory: { readonly usageBytes: Value; readonly workingSetBytes: Value };
    readonly network: { readonly defaultInterface: Interface };
    readonly containers: readonly ContainerStats[];
  };
}

const MIB = 1024 * 1024;
/** A second of CPU time, a file of 2 MiB in the writable layer, then nothing. */
const BUSY = `
dd if=/dev/zero of=/file bs=1M count=2
end=$(($(date +%s) + 2)); while [ $(date +%s) -lt $end ]; do :; done
echo done; exec sleep 1000`;

describe("what a pod uses", () => {
  let node: NodeUnderTest;
  let pod: PodUnderTest;
  let id: string;

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    const linux = { resources: { cpu_shares: 512 } };
    pod = await PodUnderTest.run(node, { name: "counted", linux });
    id = await pod.start({ name: "busy", command: ["sh", "-c", BUSY] });
    const log = "/var/log/pods/default_counted/busy_0.log";
    const { code } = await node.box.exec(
      `timeout 60 sh -c 'tail -n +1 -f ${log} | grep -q -m 1 "F done"'`,
      { timeoutMs: 70_000 },
    );
    expect(code).toBe(0);
  });
  afterAll(async () => await node[Symbol.asyncDispose]());

  async function containerStats(): Promise<ContainerStats> {
    const { stats } = await node.crictl.json<{ stats: ContainerStats[] }>(["stats", "--id", id]);
    const [only] = stats;
    if (only === undefined) throw new Error("no statistics");
    return only;
  }

  async function podStats(): Promise<PodStats["linux"]> {
    const { stats } = await node.crictl.json<{ stats: PodStats[] }>(["statsp", "--id", pod.id]);
    const [only] = stats;
    if (only === undefined) throw new Error("no statistics");
    return only.linux;
  }

  async function inContainer(script: string): Promise<string> {
    const { code, stdout, stderr } = await node.crictl.exec(id, ["sh", "-c", script]);
    expect(code, stderr).toBe(0);
    return stdout.trim();
  }

  it("is counted in the guest, container by container", async () => {
    const { cpu, memory, writableLayer } = await containerStats();
    expect(Number(cpu.usageCoreNanoSeconds.value)).toBeGreaterThan(200_000_000);
    expect(Number(memory.workingSetBytes.value)).toBeGreaterThan(2 * MIB);
    expect(Number(writableLayer.usedBytes.value)).toBeGreaterThanOrEqual(2 * MIB);
  });

  it("is counted by Xen for the pod", async () => {
    const outer = await podStats();
    const inside = Number((await containerStats()).cpu.usageCoreNanoSeconds.value);
    // The VM has done all that its container has, and the boot besides.
    const outside = Number(outer.cpu.usageCoreNanoSeconds.value);
    expect(outside).toBeGreaterThan(200_000_000);
    expect(outside).toBeGreaterThan(inside / 2);
    expect(Number(outer.process.processCount.value)).toBeGreaterThanOrEqual(2);
    expect(outer.containers.map(({ attributes }) => attributes.id)).toEqual([id]);
  });

  it("is each file in its writable layer, and no more memory than its VM has", async () => {
    const { writableLayer: before } = await containerStats();
    await inContainer("dd if=/dev/zero of=/more bs=1M count=3 && touch /one /two");
    const { memory, writableLayer: after } = await containerStats();
    const grown = (key: "usedBytes" | "inodesUsed") =>
      Number(after[key].value) - Number(before[key].value);
    expect(grown("usedBytes")).toBeGreaterThanOrEqual(3 * MIB);
    expect(grown("usedBytes")).toBeLessThan(4 * MIB);
    expect(grown("inodesUsed")).toBe(3);
    const total = 1024 * Number(await inContainer("awk '/MemTotal/ { print $2 }' /proc/meminfo"));
    const inside = Number(memory.workingSetBytes.value);
    const pods = Number((await podStats()).memory.workingSetBytes.value);
    expect(inside).toBeGreaterThan(3 * MIB);
    expect(pods).toBeGreaterThanOrEqual(inside);
    expect(pods).toBeLessThanOrEqual(total);
  });

  it("is each byte that its network carries, both ways", async () => {
    const { network } = await node.crictl.podStatus(pod.id);
    const { defaultInterface: before } = (await podStats()).network;
    const { code } = await node.box.exec(`busybox ping -q -c 4 -s 1400 -W 10 ${network.ip}`);
    expect(code).toBe(0);
    const { defaultInterface: after } = (await podStats()).network;
    expect(after.name).toBe("eth0");
    for (const key of ["rxBytes", "txBytes"] as const) {
      const grown = Number(after[key].value) - Number(before[key].value);
      // Four packets with all their headers, and what neighbours have to say.
      expect(grown, key).toBeGreaterThanOrEqual(4 * (1400 + 42));
      expect(grown, key).toBeLessThan(4 * (1400 + 42) + 2000);
    }
  });

  it("comes as metrics under cAdvisor's names", async () => {
    const text = await node.crictl.must(["metricsp"]);
    expect(text).toContain("container_cpu_usage_seconds_total");
    expect(text).toContain("container_fs_reads_bytes_total");
  });

  it("is bounded anew while the container runs", async () => {
    await node.crictl.must(["update", "--memory", String(24 * MIB), id]);
    const max = await node.crictl.exec(id, ["cat", "/sys/fs/cgroup/memory.max"]);
    expect(max.stdout.trim()).toBe(String(24 * MIB));
    const { memory } = await containerStats();
    expect(Number(memory.availableBytes?.value)).toBeLessThan(24 * MIB);
    // The VM has one vCPU, whose kernel has no cpusets.
    await node.crictl.must(["update", "--cpu-quota", "25000", "--cpuset-cpus", "0", id]);
    const cpu = await node.crictl.exec(id, ["cat", "/sys/fs/cgroup/cpu.max"]);
    expect(cpu.stdout.trim()).toBe("25000 100000");
    const refused = await node.crictl.run(["update", "--memory", String(1024 ** 4), id]);
    expect(refused.stderr).toMatch(/more than the pod's VM has/);
  });

  it("is weighed by Xen as the pod asked", async () => {
    const [domain] = await scheduledDomains(node.box);
    expect(domain).toMatchObject({ weight: 128, capPercent: 0 });
  });

  it("is known to Prometheus, call by call", async () => {
    const { stdout } = await node.box.exec("busybox wget -q -O - http://127.0.0.1:9467/metrics");
    expect(stdout).toMatch(/lightvmd_cri_call_seconds_count{.*verb="RunPodSandbox".*} 1/);
    expect(stdout).toContain('lightvmd_sandboxes{state="ready"} 1');
  });

  it("ends with events", async () => {
    const events = "/run/events.json";
    const { code } = await node.box.exec(
      `crictl events -o json >${events} 2>&1 & events=$!
       crictl stop -t 0 ${id} && crictl rm ${id} && crictl stopp ${pod.id} && crictl rmp ${pod.id}
       timeout 60 sh -c 'tail -n +1 -f ${events} | grep -q -m 1 -A 999 DELETED'; kill $events`,
      { timeoutMs: 120_000 },
    );
    expect(code).toBe(0);
    const { stdout } = await node.box.exec(`cat ${events}; rm ${events}`);
    expect(stdout).toMatch(/CONTAINER_STOPPED_EVENT[\s\S]*CONTAINER_DELETED_EVENT/);
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });
});
