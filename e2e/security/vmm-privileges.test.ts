// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";

/** Fields of /proc/PID/status by name. */
function statusFields(text: string): Map<string, string> {
  const lines = text.split("\n").map((line) => /^(\w+):\s*(.*)$/.exec(line));
  return new Map(lines.flatMap((match) => (match ? [[match[1] ?? "", match[2] ?? ""]] : [])));
}

describe("the VMM of a running pod", () => {
  const pod = { name: "jailed" };
  let node: NodeUnderTest;
  let sandbox: string;
  let pid: string;
  let status: Map<string, string>;
  const read = async (command: string) => (await node.box.exec(command)).stdout.trim();

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    sandbox = await node.crictl.runPod(pod);
    pid = await read("pgrep -x lightvm-vmm");
    status = statusFields(await read(`cat /proc/${pid}/status`));
  });
  afterAll(async () => {
    await node.crictl.removePod(sandbox);
    await node[Symbol.asyncDispose]();
  });

  it("runs under a uid and gid of its own, without other groups", () => {
    const [uid, ...others] = (status.get("Uid") ?? "").split(/\s+/);
    expect(Number(uid)).toBeGreaterThanOrEqual(2_000_000_000);
    expect(new Set([uid, ...others, ...(status.get("Gid") ?? "").split(/\s+/)]).size).toBe(1);
    expect(status.get("Groups")).toBe("");
  });

  it("holds no capability and can get none", () => {
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
      expect(status.get(set), set).toMatch(/^0+$/);
    }
    expect(status.get("NoNewPrivs")).toBe("1");
  });

  it("is filtered by seccomp, in its only thread", () => {
    expect(status.get("Seccomp")).toBe("2");
    expect(status.get("Threads")).toBe("1");
  });

  it("has an empty directory as its root", async () => {
    const root = await read(`readlink /proc/${pid}/root`);
    const shell = await read(`basename $(readlink /run/lightvm/pods/${sandbox})`);
    expect(root).toBe(`/var/lib/lightvm/jails/${shell}`);
    expect(await read(`ls -A ${root}`)).toBe("");
  });

  it("keeps no way to make a hypercall", async () => {
    const files = await read(`ls -l /proc/${pid}/fd`);
    expect(files).toContain("/dev/xen/evtchn");
    expect(files).not.toContain("/dev/xen/privcmd");
    expect(files).not.toContain("/dev/xen/hypercall");
  });

  it("cannot be inspected or traced by its own uid", async () => {
    const uid = (status.get("Uid") ?? "").split(/\s+/)[0];
    const attempt = await node.box.exec(
      `setpriv --reuid ${uid} --regid ${uid} --clear-groups cat /proc/${pid}/maps`,
    );
    expect(attempt.code).not.toBe(0);
  });
});
