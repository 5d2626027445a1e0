// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";

/**
 * Tries ioctls, given as code and packed argument, on a handle of a device. Given a pid it takes that
 * process's handle (pidfd_getfd), otherwise it opens its own.
 */
function tryIoctls(device: string, calls: readonly (readonly [code: number, pack: string])[]) {
  return `
    my $handle;
    if (my $pid = shift) {
      my ($number) = map { m{(\\d+)$} } grep { readlink($_) eq "${device}" } glob("/proc/$pid/fd/*");
      my $copy = syscall(438, syscall(434, int($pid), 0), int($number), 0);
      open($handle, "+<&=", $copy) or die "no handle: $!";
    } else { open($handle, "+<", "${device}") or die "cannot open: $!" }
    sub answer { my ($code, $argument) = @_; ioctl($handle, $code, $argument) ? "yes" : "$!" }
    print join("; ", ${calls.map(([code, pack]) => `answer(${code}, pack(${pack}))`)}), "\\n";`;
}

/** xen_version, and mapping memory of domain 0 (xen/privcmd.h). */
const TRY_PRIVCMD = tryIoctls("/dev/xen/privcmd", [
  [0x305000, '"Q6", 17, 0, 0, 0, 0, 0'],
  [0x205004, '"LSx2Q3", 1, 0, 0, 0, 0'],
]);
/** Channels to domain 0: the near end of one that is there, and a new one (xen/evtchn.h). */
const TRY_EVTCHN = tryIoctls("/dev/xen/evtchn", [
  [0x84501, '"LL", 0, 1'],
  [0x44502, '"L", 0'],
]);

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

  const attempt = async (program: string, whose: string) =>
    (await node.box.exec(`perl - ${whose}`, { input: program })).stdout.trim();

  it("keeps no way to make a hypercall", async () => {
    const files = await read(`ls -l /proc/${pid}/fd`);
    expect(files).toContain("/dev/xen/evtchn");
    expect(files).not.toContain("/dev/xen/hypercall");
    const refused = "Operation not permitted";
    // It maps what its own guest grows by, and is not even as root good for anything else.
    expect(await attempt(TRY_PRIVCMD, pid)).toBe(`${refused}; ${refused}`);
    expect(await attempt(TRY_PRIVCMD, "")).toMatch(/^yes; (?!Operation not permitted)/);
  });

  it("binds no event channel of another domain", async () => {
    const refused = "Permission denied";
    expect(await attempt(TRY_EVTCHN, pid)).toBe(`${refused}; ${refused}`);
    expect(await attempt(TRY_EVTCHN, "")).toMatch(/^(?!Permission denied).*; yes$/);
  });

  it("cannot be inspected or traced by its own uid", async () => {
    const uid = (status.get("Uid") ?? "").split(/\s+/)[0];
    const attempt = await node.box.exec(
      `setpriv --reuid ${uid} --regid ${uid} --clear-groups cat /proc/${pid}/maps`,
    );
    expect(attempt.code).not.toBe(0);
  });
});
