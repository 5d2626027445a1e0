// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";

/**
 * Tries what a privcmd handle can do: xen_version, and mapping memory of domain 0 (privcmd.h). Given a
 * pid it takes that process's handle (pidfd_getfd), otherwise it opens its own.
 */
const TRY_PRIVCMD = `
  my $handle;
  if (my $pid = shift) {
    my ($number) = map { m{(\\d+)$} } grep { readlink($_) eq "/dev/xen/privcmd" } glob("/proc/$pid/fd/*");
    my $copy = syscall(438, syscall(434, int($pid), 0), int($number), 0);
    open($handle, "+<&=", $copy) or die "no handle: $!";
  } else { open($handle, "+<", "/dev/xen/privcmd") or die "cannot open: $!" }
  sub answer { my ($code, $argument) = @_; ioctl($handle, $code, $argument) ? "yes" : "$!" }
  print answer(0x305000, pack("Q6", 17, 0, 0, 0, 0, 0)), "; ";
  print answer(0x205004, pack("LSx2Q3", 1, 0, 0, 0, 0)), "\\n";
`;

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
    expect(files).not.toContain("/dev/xen/hypercall");
    const attempt = async (whose: string) => {
      const { stdout } = await node.box.exec(`perl - ${whose}`, { input: TRY_PRIVCMD });
      return stdout.trim();
    };
    const refused = "Operation not permitted";
    // It maps what its own guest grows by, and is not even as root good for anything else.
    expect(await attempt(pid)).toBe(`${refused}; ${refused}`);
    expect(await attempt("")).toMatch(/^yes; (?!Operation not permitted)/);
  });

  it("cannot be inspected or traced by its own uid", async () => {
    const uid = (status.get("Uid") ?? "").split(/\s+/)[0];
    const attempt = await node.box.exec(
      `setpriv --reuid ${uid} --regid ${uid} --clear-groups cat /proc/${pid}/maps`,
    );
    expect(attempt.code).not.toBe(0);
  });
});
