// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

const MIB = 1024 * 1024;

describe("processes of a pod with two vCPUs", () => {
  const limits = { cpu_quota: 200_000, cpu_period: 100_000, memory_limit_in_bytes: 96 * MIB };
  let node: NodeUnderTest;
  let pod: PodUnderTest;
  let id: string;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    const linux = { resources: limits };
    pod = await PodUnderTest.run(node, { name: "processes", hostname: "inside", linux });
    id = await pod.start({ name: "main", command: ["sleep", "1000"] });
  });
  afterAll(async () => {
    await pod.remove();
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
    await node[Symbol.asyncDispose]();
  });

  const inspect = async (container: string) => await node.crictl.containerStatus(container);
  const execute = async (...command: string[]) => await node.crictl.exec(id, command);

  it("have all CPUs, an entropy device and the pod's name", async () => {
    expect((await execute("nproc")).stdout).toBe("2\n");
    expect((await execute("hostname")).stdout).toBe("inside\n");
    const { stdout } = await execute("cat", "/sys/class/misc/hw_random/rng_current");
    expect(stdout).toMatch(/virtio_rng/);
  });

  it("see no process of another container, and share no memory with it", async () => {
    const other = await pod.start({ name: "other", command: ["sleep", "2000"] });
    const { stdout } = await execute("ps", "-o", "args");
    expect(stdout).toContain("sleep 1000");
    expect(stdout).not.toContain("sleep 2000");
    const namespaces = "for kind in pid mnt cgroup; do readlink /proc/self/ns/$kind; done";
    const [ours, theirs] = [
      await execute("sh", "-c", namespaces),
      await node.crictl.exec(other, ["sh", "-c", namespaces]),
    ].map(({ stdout: lines }) => lines.trim().split("\n"));
    expect(ours).toHaveLength(3);
    for (const [index, namespace] of ours?.entries() ?? []) {
      expect(namespace).not.toBe(theirs?.[index]);
    }
    await node.crictl.must(["rm", "-f", other]);
  });

  it("give exec what they print, and their exit code", async () => {
    const answer = await execute("sh", "-c", "echo out; echo err >&2; exit 7");
    // Of a command that fails crictl shows how it ended and its errors, not what else it printed.
    expect(answer.stderr).toMatch(/exited with 7: err/);
    expect(await execute("sh", "-c", "echo out")).toMatchObject({ code: 0, stdout: "out\n" });
  });

  it("give exec all of a long output", async () => {
    const { stdout } = await execute("sh", "-c", "seq 1 100000");
    expect(stdout.trimEnd().split("\n")).toHaveLength(100_000);
  });

  it("are ended when an exec has taken too long", async () => {
    const started = performance.now();
    const slow = ["exec", "--sync", "--timeout", "1", id, "sleep", "500"];
    const { code, stderr } = await node.crictl.run(slow);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/DeadlineExceeded/);
    expect(performance.now() - started).toBeLessThan(30_000);
    await expect
      .poll(async () => await execute("sh", "-c", "ps -o args | grep -c '[s]leep 500'; true"), {
        timeout: 20_000,
      })
      // The container runs on without it.
      .toMatchObject({ stdout: "0\n" });
  });

  it("that are not in the image are told at once by exec", async () => {
    const started = performance.now();
    const { code, stderr } = await execute("/bin/not-there");
    expect(code).not.toBe(0);
    expect(stderr).toContain("/bin/not-there");
    expect(performance.now() - started).toBeLessThan(20_000);
  });

  it("exit with the reason when they take more memory than their container may", async () => {
    const linux = { resources: { memory_limit_in_bytes: 16 * MIB } };
    const eater = await pod.start({ name: "eater", command: ["tail", "/dev/zero"], linux });
    await expect
      .poll(() => inspect(eater), { timeout: 60_000 })
      .toMatchObject({ state: "CONTAINER_EXITED", exitCode: 137, reason: "OOMKilled" });
    expect((await inspect(id)).state).toBe("CONTAINER_RUNNING");
    await node.crictl.must(["rm", eater]);
  });

  it("get the CPUs that they may have, as many and which, while they run", async () => {
    const file = async (name: string) =>
      (await execute("cat", `/sys/fs/cgroup/${name}`)).stdout.trim();
    const update = async (...limits: string[]) => await node.crictl.run(["update", ...limits, id]);
    const quota = (microseconds: number) => [
      ...["--cpu-quota", String(microseconds), "--cpu-period", "100000"],
    ];
    expect(await update(...quota(50_000), "--cpuset-cpus", "1")).toMatchObject({ code: 0 });
    expect(await file("cpu.max")).toBe("50000 100000");
    expect(await file("cpuset.cpus.effective")).toBe("1");
    expect((await execute("nproc")).stdout).toBe("1\n");
    expect(await update(...quota(200_000), "--cpuset-cpus", "0-1")).toMatchObject({ code: 0 });
    expect(await file("cpu.max")).toBe("200000 100000");
    expect((await update(...quota(300_000))).stderr).toMatch(
      /cannot have 3 CPUs: its VM has 2 vCPUs and does not grow/,
    );
    expect((await update("--cpuset-cpus", "2-3")).stderr).toMatch(
      /names CPU 2, but the pod's VM has 2 vCPUs, CPUs 0 to 1/,
    );
    expect(await file("cpu.max")).toBe("200000 100000");
    expect((await execute("nproc")).stdout).toBe("2\n");
  });

  it("are asked to end before they are killed", async () => {
    const command = ["sh", "-c", 'trap "echo asked; exit 4" TERM; while :; do sleep 1; done'];
    const polite = await pod.start({ name: "polite", command });
    await node.crictl.must(["stop", "--timeout", "30", polite]);
    expect(await inspect(polite)).toMatchObject({ state: "CONTAINER_EXITED", exitCode: 4 });
    expect(await node.crictl.must(["logs", polite])).toBe("asked");
    await node.crictl.must(["rm", polite]);
  });
});
