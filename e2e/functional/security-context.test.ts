// SPDX-License-Identifier: Apache-2.0
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

type Json = Record<string, unknown>;

const HOST = "/run/e2e-security-context";
/** CRI: NamespaceMode, SecurityProfile.ProfileType. */
const POD = 0;
const CONTAINER = 1;
const TARGET = 3;
const RUNTIME_DEFAULT = 0;
const UNCONFINED = 1;
const LOCALHOST = 2;

/** Denies two calls, under all the names that the guest's C library may use for them. */
const PROFILE = {
  defaultAction: "SCMP_ACT_ALLOW",
  syscalls: [
    {
      names: ["mkdir", "mkdirat", "chmod", "fchmod", "fchmodat", "fchmodat2"],
      action: "SCMP_ACT_ERRNO",
    },
  ],
};

describe("a container's security context", () => {
  let node: NodeUnderTest;
  let pod: PodUnderTest;
  let started = 0;

  /** Starts a container that waits; all of them are gone after the test. */
  const waits = async (security: Json, more: Json = {}, resources: Json = {}): Promise<string> => {
    started += 1;
    const namespace_options = { pid: CONTAINER };
    return await pod.start({
      name: `waits-${started}`,
      command: ["sleep", String(1000 + started)],
      linux: { resources, security_context: { namespace_options, ...security } },
      more,
    });
  };
  const inside = async (id: string, script: string) => await node.inside(id, script);
  const within = async (id: string, script: string) => await node.within(id, script);
  /** A line of /proc/PID/status of the first process and of one that is executed beside it. */
  const statusOf = async (id: string, field: string): Promise<string> => {
    const script = `/bin/busybox grep -h '^${field}:' /proc/1/status /proc/self/status`;
    const values = (await within(id, script)).split("\n").map((line) => line.split("\t")[1]);
    expect(values).toHaveLength(2);
    expect(values[1]).toBe(values[0]);
    return values[0] ?? "";
  };
  const refusedWith = async (id: string, script: string, words: string) =>
    expect((await inside(id, script)).stderr, script).toContain(words);

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    const resources = { cpu_quota: 200_000, cpu_period: 100_000 };
    pod = await PodUnderTest.run(node, { name: "security", linux: { resources } });
    await node.box.exec(`mkdir -p ${HOST} && cat >${HOST}/profile.json`, {
      input: JSON.stringify(PROFILE),
    });
  });
  afterEach(async () => {
    const ids = await node.crictl.must(["ps", "-aq", "-p", pod.id]);
    if (ids !== "") await node.crictl.must(["rm", "-f", ...ids.split("\n")], 120_000);
  });
  afterAll(async () => {
    await pod.remove();
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
    await node.box.exec(`rm -rf ${HOST}`);
    await node[Symbol.asyncDispose]();
  });

  it("gives the usual capabilities, adds and drops", async () => {
    const sets: [Json, string][] = [
      [{}, "00000000a80425fb"],
      [{ add_capabilities: ["NET_ADMIN"] }, "00000000a80435fb"],
      [{ drop_capabilities: ["CHOWN", "KILL"] }, "00000000a80425da"],
      [{ drop_capabilities: ["ALL"], add_capabilities: ["KILL"] }, "0000000000000020"],
    ];
    for (const [capabilities, mask] of sets) {
      const id = await waits({ capabilities });
      expect(await statusOf(id, "CapEff"), JSON.stringify(capabilities)).toBe(mask);
      expect(await statusOf(id, "CapBnd"), JSON.stringify(capabilities)).toBe(mask);
    }
    const powerless = await waits({ capabilities: { drop_capabilities: ["ALL"] } });
    await refusedWith(powerless, "/bin/busybox chown 1000 /bin", "Operation not permitted");
  });

  it("forbids new privileges when it says so", async () => {
    expect(await statusOf(await waits({ no_new_privs: true }), "NoNewPrivs")).toBe("1");
    expect(await statusOf(await waits({}), "NoNewPrivs")).toBe("0");
  });

  it("hides masked paths, and lets nobody write read-only ones", async () => {
    const id = await waits({
      masked_paths: ["/proc/uptime", "/proc/tty", "/proc/not-there"],
      readonly_paths: ["/proc/sys", "/proc/not-there"],
    });
    expect(await within(id, "cat /proc/uptime; /bin/busybox ls -A /proc/tty")).toBe("");
    const write = "echo x >/proc/sys/kernel/domainname";
    await refusedWith(id, write, "Read-only file system");
    const plain = await waits({});
    expect(await within(plain, "cat /proc/uptime; /bin/busybox ls -A /proc/tty")).toMatch(
      /^[\d.]+ [\d.]+\n.*drivers/s,
    );
  });

  it("filters system calls by the runtime's profile and by the node's", async () => {
    const work = "/bin/busybox mkdir /made && /bin/busybox chmod 700 /made";
    const usual = await waits({ seccomp: { profile_type: RUNTIME_DEFAULT } });
    expect(await statusOf(usual, "Seccomp")).toBe("2");
    await within(usual, work);
    await refusedWith(usual, "/bin/busybox unshare -U true", "Operation not permitted");
    const free = await waits({ seccomp: { profile_type: UNCONFINED } });
    expect(await statusOf(free, "Seccomp")).toBe("0");
    await within(free, `${work} && /bin/busybox unshare -U true`);
    const local = await waits({
      seccomp: { profile_type: LOCALHOST, localhost_ref: `${HOST}/profile.json` },
    });
    expect(await statusOf(local, "Seccomp")).toBe("2");
    await refusedWith(local, "/bin/busybox mkdir /made", "Operation not permitted");
    await refusedWith(local, "/bin/busybox chmod 700 /bin", "Operation not permitted");
    await within(local, "echo x >/file");
  });

  it("makes the root read-only, and not the volumes", async () => {
    const mounts = [{ container_path: "/data", host_path: HOST }];
    const id = await waits({ readonly_rootfs: true }, { mounts });
    await refusedWith(id, "echo x >/file", "Read-only file system");
    await refusedWith(id, "/bin/busybox mount -o remount,rw /", "ermi");
    expect(await within(id, "echo x >/data/file; cat /data/file; echo y >/dev/shm/y")).toBe("x");
  });

  it("makes a container privileged inside its guest, and nowhere else", async () => {
    const swappiness = "/proc/sys/vm/swappiness";
    const read = async () => (await node.box.exec(`cat ${swappiness}`)).stdout;
    const before = await read();
    const plain = await waits({});
    const mount = "/bin/busybox mkdir -p /m && /bin/busybox mount -t tmpfs none /m";
    await refusedWith(plain, mount, "ermi");
    const id = await waits({ privileged: true });
    expect(await statusOf(id, "CapEff")).toBe("000001ffffffffff");
    expect(await statusOf(id, "Seccomp")).toBe("0");
    await within(id, mount);
    await within(id, `echo 7 >${swappiness}`);
    expect(await within(plain, `cat ${swappiness}`)).toBe("7");
    expect(await read()).toBe(before);
    // The node's disks are not the guest's, and neither is Xen's control.
    const devices = await within(id, "/bin/busybox ls /dev /sys/class/block /proc/xen 2>&1; true");
    expect(devices).not.toMatch(/xvd|nvme|\bsd[a-z]|vd[d-z]|privcmd/);
  });

  it("shows the processes of the pod, of one container, or its own", async () => {
    const first = await waits({});
    const processes = async (id: string) => await within(id, "/bin/busybox ps -o pid,args");
    const target = `sleep ${1000 + started}`;
    await waits({ namespace_options: { pid: POD } });
    const ofPod = await processes(await waits({ namespace_options: { pid: POD } }));
    expect(ofPod).toContain(`sleep ${1000 + started - 1}`);
    expect(ofPod).toContain(`sleep ${1000 + started}`);
    expect(ofPod).not.toContain(target);
    const beside = await waits({ namespace_options: { pid: TARGET, target_id: first } });
    const ofTarget = await processes(beside);
    expect(ofTarget).toMatch(new RegExp(`^ *1 ${target}$`, "m"));
    expect(ofTarget).toContain(`sleep ${1000 + started}`);
    expect(ofTarget).not.toContain(`sleep ${1000 + started - 1}`);
    const alone = await processes(await waits({}));
    expect(alone).toMatch(new RegExp(`^ *1 sleep ${1000 + started}$`, "m"));
    expect(alone).not.toContain(target);
  });

  it("comes with limits, which are the guest's cgroup's", async () => {
    const id = await waits(
      {},
      {},
      {
        cpu_quota: 50_000,
        cpu_period: 100_000,
        cpu_shares: 512,
        memory_limit_in_bytes: 32 << 20,
        cpuset_cpus: "1",
        unified: { "pids.max": "40" },
      },
    );
    const files = ["cpu.max", "cpu.weight", "memory.max", "cpuset.cpus", "pids.max"];
    const values = await within(id, `cd /sys/fs/cgroup && cat ${files.join(" ")}`);
    expect(values.split("\n")).toEqual(["50000 100000", "20", String(32 << 20), "1", "40"]);
    await refusedWith(id, "echo max >/sys/fs/cgroup/pids.max", "Read-only file system");
    expect(await within(id, "/bin/busybox grep Cpus_allowed_list /proc/self/status")).toMatch(/1$/);
    const forks = "for i in $(/bin/busybox seq 60); do sleep 30 & done; wait";
    const { code, stderr } = await inside(id, forks);
    expect(`${code} ${stderr}`).toMatch(/can't fork|Resource temporarily unavailable/);
  });
});
