// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TEST_XEN } from "../framework/box-for-tests.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";
import { ID_RANGE, USER_NAMESPACE } from "../framework/user-namespace.ts";

type Json = Record<string, unknown>;

/** Below it is ext4, whose mounts every dom0 can give other ids. */
const HOST = "/var/lib/lightvm/e2e-user-namespaces";
/** A tmpfs, as kubelet's for tokens is: its mounts can have other ids since Linux 6.3. */
const MEMORY = "/run/e2e-user-namespaces";
const TMPFS_MAPS_IDS = TEST_XEN !== "4.17";

/** And kubelet says so of every mount. */
const MAPPED = { uidMappings: [ID_RANGE], gidMappings: [ID_RANGE] };
const IN_POD = { security_context: { namespace_options: { pid: 1, ...USER_NAMESPACE } } };

describe("a pod with a user namespace", () => {
  let node: NodeUnderTest;
  let pod: PodUnderTest;
  let id: string;
  let started = 0;

  const onHost = async (script: string) => await node.onHost(script);
  const containerOf = (mounts: readonly Json[], linux: Json) => {
    started += 1;
    return { name: `waits-${started}`, command: ["sleep", "1000"], linux, more: { mounts } };
  };
  const inside = async (container: string, script: string) => await node.inside(container, script);
  const within = async (container: string, script: string) => await node.within(container, script);
  const refused = async (mounts: readonly Json[], linux: Json): Promise<string> => {
    const container = pod.container(containerOf(mounts, linux));
    const message = await node.crictl.refusedContainer(pod.id, container, pod.options);
    return message.replaceAll("\\", "");
  };
  const owners = "/bin/busybox stat -c '%n %u:%g'";

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    const linux = { security_context: { namespace_options: USER_NAMESPACE } };
    pod = await PodUnderTest.run(node, { name: "mapped", linux });
    await onHost(`rm -rf ${HOST}; mkdir -p ${HOST}/data ${HOST}/users; cd ${HOST}
      echo '127.0.0.1 kubelet' >hosts; : >message; echo setting >config
      echo of-root >data/root; echo of-user >data/user; echo of-alien >data/alien
      chown 1000:1001 data/user; chown 70000:70000 data/alien; chown 1000:1000 users`);
    const mounts = [
      { container_path: "/etc/hosts", host_path: `${HOST}/hosts`, ...MAPPED },
      { container_path: "/dev/termination-log", host_path: `${HOST}/message`, ...MAPPED },
      { container_path: "/etc/app.conf", host_path: `${HOST}/config`, readonly: true, ...MAPPED },
      { container_path: "/data", host_path: `${HOST}/data`, ...MAPPED },
    ];
    id = await pod.start(containerOf(mounts, IN_POD));
  });
  afterAll(async () => {
    await pod.remove();
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
    await onHost(`rm -rf ${HOST} ${MEMORY}`);
    await node[Symbol.asyncDispose]();
  });

  it("maps ids as the node said, and has a root directory of its own root", async () => {
    const maps = await within(id, "cat /proc/self/uid_map /proc/self/gid_map");
    const numbers = maps.split("\n").map((line) => line.trim().split(/ +/).map(Number));
    expect(numbers).toEqual([
      [0, 131_072, 65_536],
      [0, 131_072, 65_536],
    ]);
    const files = "/ /bin/busybox /etc/hostname /dev/shm /dev/null";
    expect((await within(id, `${owners} ${files}`)).split("\n")).toEqual(
      files.split(" ").map((file) => `${file} 0:0`),
    );
    expect(await within(id, `echo x >/made && ${owners} /made`)).toBe("/made 0:0");
  });

  it("sees owners of its volumes as the host has them", async () => {
    expect(await within(id, `cd /data && ${owners} . root user alien`)).toBe(
      [". 0:0", "root 0:0", "user 1000:1001", "alien 65534:65534"].join("\n"),
    );
    expect(await within(id, `${owners} /etc/hosts /etc/app.conf /dev/termination-log`)).toBe(
      ["/etc/hosts 0:0", "/etc/app.conf 0:0", "/dev/termination-log 0:0"].join("\n"),
    );
    expect((await node.crictl.containerStatus(id)).mounts[3]).toMatchObject({
      containerPath: "/data",
      uidMappings: [{ hostId: 131_072, length: 65_536 }],
      gidMappings: [{ hostId: 131_072, length: 65_536 }],
    });
  });

  it("writes files that belong on the host to whom they belong inside", async () => {
    await within(
      id,
      `cd /data && B=/bin/busybox && echo more >>root && echo more >>user
       echo new >made && $B chown 1000:1001 made && $B mkdir dir && $B chmod 2775 dir
       echo x >old && $B mv old dir/moved && $B ln dir/moved linked && $B ln -s made soft
       $B mv made dir/made && $B mv dir/made made && $B mkfifo pipe && $B rm linked
       echo host >>/etc/hosts; echo the end >/dev/termination-log`,
    );
    expect(await onHost(`cd ${HOST}/data && stat -c '%n %u:%g %a' * dir/*`)).toBe(
      [
        "alien 70000:70000 644",
        "dir 0:0 2775",
        "made 1000:1001 644",
        "pipe 0:0 644",
        "root 0:0 644",
        "soft 0:0 777",
        "user 1000:1001 644",
        "dir/moved 0:0 644",
      ].join("\n"),
    );
    expect(await onHost(`cd ${HOST} && cat data/root data/user hosts message`)).toBe(
      "of-root\nmore\nof-user\nmore\n127.0.0.1 kubelet\nhost\nthe end",
    );
  });

  it("has no power over whom it does not know, nor over what is read-only", async () => {
    for (const script of [
      "echo x >/data/alien",
      "/bin/busybox chmod 777 /data/alien",
      "/bin/busybox chown 0 /data/alien",
    ]) {
      expect((await inside(id, script)).stderr, script).toMatch(/not permitted|denied/);
    }
    expect(await within(id, "cat /data/alien /etc/app.conf")).toBe("of-alien\nsetting");
    expect((await inside(id, "echo x >/etc/app.conf")).stderr).toContain("Read-only file system");
    expect(await onHost(`cat ${HOST}/data/alien ${HOST}/config`)).toBe("of-alien\nsetting");
  });

  it("has users other than root", async () => {
    const mounts = [{ container_path: "/users", host_path: `${HOST}/users`, ...MAPPED }];
    const { namespace_options } = IN_POD.security_context;
    const security_context = { namespace_options, run_as_user: { value: 1000 } };
    const user = await pod.start(containerOf(mounts, { security_context }));
    expect(await within(user, "/bin/busybox id -u; echo mine >/users/file")).toBe("1000");
    expect((await inside(user, "echo x >/made")).stderr).toContain("Permission denied");
    expect(await onHost(`stat -c '%u %g' ${HOST}/users/file`)).toMatch(/^1000 /);
    expect((await node.crictl.containerStatus(user)).state).toBe("CONTAINER_RUNNING");
  });

  it("shares an emptyDir in memory", async () => {
    const path = `${HOST}/pods/uid/volumes/kubernetes.io~empty-dir/cache`;
    await onHost(`mkdir -p ${path}; mount -t tmpfs -o size=1m,mode=2770,gid=2000 tmpfs ${path}`);
    try {
      const mount = { container_path: "/cache", host_path: path, ...MAPPED };
      const [one, two] = [
        await pod.start(containerOf([mount], IN_POD)),
        await pod.start(containerOf([mount], IN_POD)),
      ];
      await within(one, "echo shared >/cache/file");
      expect(await within(two, `cat /cache/file; ${owners} /cache /cache/file`)).toBe(
        "shared\n/cache 0:2000\n/cache/file 0:2000",
      );
    } finally {
      await onHost(`umount ${path}`);
    }
  });

  it("keeps its volumes and gets more when lightvmd has been killed", async () => {
    await node.daemon.end("KILL");
    await node.daemon.start();
    const mounts = [{ container_path: "/data", host_path: `${HOST}/data`, ...MAPPED }];
    const next = await pod.start(containerOf(mounts, IN_POD));
    await within(next, "echo next >/data/next");
    expect(await within(id, `${owners} /data/next`)).toBe("/data/next 0:0");
    expect(await onHost(`stat -c %u ${HOST}/data/next`)).toBe("0");
  });

  it("reads its token from memory of the node, where the kernel can map that", async () => {
    await onHost(`mkdir -p ${MEMORY}; echo secret >${MEMORY}/token; chmod 600 ${MEMORY}/token`);
    const path = "/var/run/secrets/kubernetes.io/serviceaccount";
    const mount = { container_path: path, host_path: MEMORY, readonly: true, ...MAPPED };
    if (TMPFS_MAPS_IDS) {
      const container = await pod.start(containerOf([mount], IN_POD));
      expect(await within(container, `cat ${path}/token`)).toBe("secret");
    } else {
      expect(await refused([mount], IN_POD)).toMatch(/mount \/run\/.* cannot map ids/);
    }
  });

  it("is told by name which ids and file systems it cannot have", async () => {
    const mount = { container_path: "/data", host_path: `${HOST}/data` };
    const other = [{ ...ID_RANGE, host_id: 262_144 }];
    const mapped = { ...mount, uidMappings: other, gidMappings: [ID_RANGE] };
    expect(await refused([mapped], IN_POD)).toMatch(
      /InvalidArgument.*volume at "\/data" maps uids 0-65535 as 262144-327679.*pod's.*131072/,
    );
    const userns_options = { ...USER_NAMESPACE.userns_options, uids: other };
    const elsewhere = { security_context: { namespace_options: { pid: 1, userns_options } } };
    expect(await refused([], elsewhere)).toMatch(
      /InvalidArgument.*userns_options of the container/,
    );
    // The box's root is an overlay.
    const overlay = { container_path: "/etc2", host_path: "/etc", ...MAPPED };
    expect(await refused([overlay], IN_POD)).toMatch(/mount \/etc: .*cannot map ids/);
  });

  it("is one that the node offers, for all but unikernels", async () => {
    type Handler = { name?: string; features: { user_namespaces?: boolean } };
    const answer = await node.crictl.json<{ runtimeHandlers: Handler[] }>(["info"]);
    const offered = answer.runtimeHandlers.map(({ name = "", features }) => [
      name,
      features.user_namespaces ?? false,
    ]);
    expect(offered).toEqual([
      ["", true],
      ["lightvm", true],
      ["lightvm-unikernel", false],
    ]);
  });
});

describe("a pod without a user namespace", () => {
  it("has its guest's ids, and no mount with others", async () => {
    await using node = await NodeUnderTest.start();
    await node.box.exec(`mkdir -p ${HOST}/plain; chown 70000:70000 ${HOST}/plain`);
    const pod = await PodUnderTest.run(node, { name: "plain" });
    const mount = { container_path: "/data", host_path: `${HOST}/plain` };
    const container = { name: "plain", command: ["sleep", "1000"], more: { mounts: [mount] } };
    const id = await pod.start(container);
    const script = "cat /proc/self/uid_map; /bin/busybox stat -c '%u:%g' /data /etc/hosts";
    const { stdout } = await node.crictl.exec(id, ["/bin/busybox", "sh", "-c", script]);
    expect(stdout.trim().split(/\s+/)).toEqual(["0", "0", "4294967295", "70000:70000", "0:0"]);
    const mapped = { ...container, name: "mapped", more: { mounts: [{ ...mount, ...MAPPED }] } };
    const message = await node.crictl.refusedContainer(pod.id, pod.container(mapped), pod.options);
    expect(message).toMatch(/InvalidArgument.*maps uids 0-65535 as 131072.*no ids/);
    await pod.remove();
    await node.box.exec(`rm -rf ${HOST}`);
  });
});
