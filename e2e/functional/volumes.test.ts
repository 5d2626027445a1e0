// SPDX-License-Identifier: Apache-2.0
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";
import { staticProgram } from "../framework/static-program.ts";
import { tracesOfPods } from "../framework/traces.ts";

type Mount = Record<string, unknown>;

const HOST = "/run/e2e-volumes";

describe("volumes", () => {
  let node: NodeUnderTest;
  let pod: PodUnderTest;
  let started = 0;

  const onHost = async (script: string) => await node.onHost(script);
  /** Starts a container that waits, with these mounts. */
  const containerWith = async (mounts: readonly Mount[], linux: Mount = {}): Promise<string> => {
    started += 1;
    const container = {
      name: `waits-${started}`,
      command: ["sleep", "1000"],
      linux,
      more: { mounts },
    };
    return await pod.start(container);
  };
  /** Pid of the process that serves a pod's volumes. */
  const fileServer = async (id: string): Promise<number> =>
    JSON.parse(await onHost(`cat /run/lightvm/pods/${id}/shell.json`)).fileServer.pid;
  const inside = async (id: string, script: string) => await node.inside(id, script);
  const within = async (id: string, script: string) => await node.within(id, script);

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    pod = await PodUnderTest.run(node, { name: "volumes" });
    await onHost(`mkdir -p ${HOST}`);
  });
  afterEach(async () => {
    // Every container and its mounts go; the pod stays for the next test.
    const ids = await node.crictl.must(["ps", "-aq", "-p", pod.id]);
    if (ids !== "") await node.crictl.must(["rm", "-f", ...ids.split("\n")], 120_000);
    expect(await onHost(`ls -A /proc/${await fileServer(pod.id)}/root/volumes`)).toBe("");
  });
  afterAll(async () => {
    await pod.remove();
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
    await onHost(`rm -rf ${HOST}`);
    await node[Symbol.asyncDispose]();
  });

  it("are directories and files, written and seen on both sides", async () => {
    await onHost(`mkdir -p ${HOST}/dir; echo from-host >${HOST}/dir/a; echo one >${HOST}/file`);
    const mounts = [
      { container_path: "/data", host_path: `${HOST}/dir` },
      { container_path: "/etc/app.conf", host_path: `${HOST}/file` },
    ];
    const id = await containerWith(mounts);
    expect(await within(id, "cat /data/a /etc/app.conf")).toBe("from-host\none");
    await within(id, "echo from-guest >/data/b; echo two >>/etc/app.conf");
    expect(await onHost(`cat ${HOST}/dir/b ${HOST}/file`)).toBe("from-guest\none\ntwo");
    await onHost(`echo later >${HOST}/dir/c; rm ${HOST}/dir/a`);
    expect(await within(id, "ls /data; cat /data/c")).toBe("b\nc\nlater");
    expect((await node.crictl.containerStatus(id)).mounts).toMatchObject([
      { containerPath: "/data", hostPath: `${HOST}/dir`, readonly: false },
      { containerPath: "/etc/app.conf", hostPath: `${HOST}/file`, readonly: false },
    ]);
  });

  it("do what files do: owners, modes, links, renames, sizes and times", async () => {
    await onHost(`rm -rf ${HOST}/ops; mkdir -p ${HOST}/ops; chmod 777 ${HOST}/ops`);
    const id = await containerWith([{ container_path: "/ops", host_path: `${HOST}/ops` }]);
    await within(
      id,
      `cd /ops && B=/bin/busybox
       echo text >f && $B chown 1000:2000 f && $B chmod 4751 f && $B ln f hard && $B ln -s f soft
       $B mkdir d && $B mv f d/g && $B mkfifo pipe && $B truncate -s 1048576 big && $B touch -d @86400 d
       $B sync && (cd d; $B rm -f nothing; $B mv g h; $B mv h g)`,
    );
    expect(await onHost(`cd ${HOST}/ops && stat -c '%n %a %u:%g %h %F' d/g hard pipe big`)).toBe(
      [
        "d/g 4751 1000:2000 2 regular file",
        "hard 4751 1000:2000 2 regular file",
        "pipe 644 0:0 1 fifo",
        "big 644 0:0 1 regular file",
      ].join("\n"),
    );
    expect(await onHost(`readlink ${HOST}/ops/soft; stat -c %Y ${HOST}/ops/d`)).toMatch(/^f\n/);
    // A device on a volume would be one of the node's.
    expect((await inside(id, "/bin/busybox mknod /ops/null c 1 3")).code).not.toBe(0);
  });

  it("do what programs do: locks, attributes, shared mappings, watches", async () => {
    const probe = await staticProgram(join(import.meta.dirname, "programs/file-probe.c"));
    await onHost(`mkdir -p ${HOST}/probe`);
    await node.box.exec(`cat >${HOST}/probe/run && chmod 755 ${HOST}/probe/run`, { input: probe });
    const id = await containerWith([{ container_path: "/probe", host_path: `${HOST}/probe` }]);
    expect(await within(id, "/probe/run /probe")).toBe("all is well");
    // What it has left is there on the node too, where the attribute cannot be made a second time.
    const { code, stderr } = await node.box.exec(`cd ${HOST} && probe/run probe`);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringContaining("set an attribute: File exists"),
    });
  });

  it("belong to whom the container says, supplementary groups included", async () => {
    await onHost(`rm -rf ${HOST}/own; mkdir -p ${HOST}/own; chown 0:4242 ${HOST}/own
      chmod 2770 ${HOST}/own`);
    const security = { run_as_user: { value: 1000 }, supplemental_groups: [4242] };
    const id = await containerWith([{ container_path: "/own", host_path: `${HOST}/own` }], {
      security_context: security,
    });
    await within(id, "echo mine >/own/file; /bin/busybox mkdir /own/dir");
    expect(await onHost(`stat -c '%n %u:%g' ${HOST}/own/*`)).toBe(
      `${HOST}/own/dir 1000:4242\n${HOST}/own/file 1000:4242`,
    );
    const other = await containerWith([{ container_path: "/own", host_path: `${HOST}/own` }], {
      security_context: { run_as_user: { value: 1001 } },
    });
    expect((await inside(other, "cat /own/file")).stderr).toContain("Permission denied");
  });

  it("that are read-only cannot be written, and only recursively so below mounts", async () => {
    await onHost(`mkdir -p ${HOST}/ro/inner; mount -t tmpfs inner ${HOST}/ro/inner
      echo text >${HOST}/ro/file`);
    try {
      const mount = { host_path: `${HOST}/ro`, readonly: true };
      const id = await containerWith([
        { ...mount, container_path: "/ro" },
        { ...mount, container_path: "/rro", recursive_read_only: true },
      ]);
      const refused = "Read-only file system";
      for (const path of ["/ro/new", "/ro/file", "/rro/file", "/rro/inner/new"]) {
        expect((await inside(id, `echo x >${path}`)).stderr, path).toContain(refused);
      }
      expect((await inside(id, "/bin/busybox chmod 777 /ro/file")).stderr).toContain(refused);
      await within(id, "echo x >/ro/inner/new; cat /rro/inner/new");
    } finally {
      // The container still has it; that is no reason for the node to keep the directory.
      await onHost(`umount ${HOST}/ro/inner && rmdir ${HOST}/ro/inner`);
    }
  });

  it("follow symlinks of the node, and make what is missing", async () => {
    await onHost(`rm -rf ${HOST}/link ${HOST}/made; mkdir -p ${HOST}/target
      echo linked >${HOST}/target/file; ln -sfn ${HOST}/target ${HOST}/link`);
    const id = await containerWith([
      { container_path: "/link", host_path: `${HOST}/link` },
      { container_path: "/deep/in/the/image", host_path: `${HOST}/made/by/us` },
    ]);
    expect(await within(id, "cat /link/file")).toBe("linked");
    await within(id, "echo x >/deep/in/the/image/file");
    expect(await onHost(`cat ${HOST}/made/by/us/file`)).toBe("x");
  });

  it("show an update of a ConfigMap as soon as it is swapped in", async () => {
    const map = `${HOST}/configmap`;
    await onHost(`rm -rf ${map}; mkdir -p ${map}/..1; echo first >${map}/..1/key
      ln -s ..1 ${map}/..data; ln -s ..data/key ${map}/key`);
    const id = await containerWith([{ container_path: "/config", host_path: map, readonly: true }]);
    expect(await within(id, "cat /config/key")).toBe("first");
    for (const [version, text] of [
      ["..2", "second, and longer"],
      ["..3", "third"],
    ]) {
      await onHost(`cd ${map} && mkdir ${version} && echo '${text}' >${version}/key
        ln -s ${version} ..tmp && mv -T ..tmp ..data && rm -rf ..1`);
      expect(await within(id, "cat /config/key; ls /config")).toBe(`${text}\nkey`);
    }
  });

  it("show later mounts of the node when they shall", async () => {
    await onHost(`mkdir -p ${HOST}/prop/late; mount --bind ${HOST}/prop ${HOST}/prop
      mount --make-shared ${HOST}/prop`);
    try {
      const id = await containerWith([
        { container_path: "/private", host_path: `${HOST}/prop` },
        { container_path: "/follows", host_path: `${HOST}/prop`, propagation: 1 },
      ]);
      expect(await within(id, "ls /private/late /follows/late")).not.toContain("new");
      await onHost(`mount -t tmpfs late ${HOST}/prop/late; echo seen >${HOST}/prop/late/new`);
      expect(await within(id, "cat /follows/late/new; ls /private/late")).toBe("seen");
    } finally {
      await onHost(`umount ${HOST}/prop/late; umount ${HOST}/prop`);
    }
  });

  it("carry a termination message, and /etc/hosts of the kubelet", async () => {
    await onHost(`: >${HOST}/message; echo '127.0.0.1 kubelet-wrote-this' >${HOST}/hosts`);
    const id = await containerWith([
      { container_path: "/dev/termination-log", host_path: `${HOST}/message` },
      { container_path: "/etc/hosts", host_path: `${HOST}/hosts` },
    ]);
    await within(id, "echo the end >/dev/termination-log");
    expect(await onHost(`cat ${HOST}/message`)).toBe("the end");
    expect(await within(id, "cat /etc/hosts")).toContain("kubelet-wrote-this");
  });

  it("in memory are the guest's own memory, shared between containers", async () => {
    const path = `${HOST}/pods/uid/volumes/kubernetes.io~empty-dir/cache`;
    await onHost(`mkdir -p ${path}; mount -t tmpfs -o size=2m,mode=777 tmpfs ${path}`);
    try {
      const mount = { container_path: "/cache", host_path: path };
      const [one, two] = [await containerWith([mount]), await containerWith([mount])];
      await within(one, "echo shared >/cache/file");
      expect(await within(two, "cat /cache/file")).toBe("shared");
      expect(await onHost(`ls ${path}`)).toBe("");
      expect(await within(two, "/bin/busybox grep ' /cache ' /proc/mounts")).toMatch(
        /^tmpfs \/cache tmpfs .*size=2048k.*mode=777/,
      );
      expect(
        (
          await inside(
            two,
            "/bin/busybox truncate -s 0 /cache/x; /bin/busybox dd if=/dev/zero of=/cache/x bs=64k count=64",
          )
        ).stderr,
      ).toContain("No space left");
    } finally {
      await onHost(`umount ${path}`);
    }
  });

  it("are shared between the containers of a pod", async () => {
    await onHost(`mkdir -p ${HOST}/empty`);
    const mount = { container_path: "/shared", host_path: `${HOST}/empty` };
    const [one, two] = [await containerWith([mount]), await containerWith([mount])];
    await within(one, "echo a >/shared/file; echo b >>/shared/file");
    expect(await within(two, "cat /shared/file")).toBe("a\nb");
    await within(two, "/bin/busybox mv /shared/file /shared/moved");
    expect(await within(one, "ls /shared")).toBe("moved");
  });

  it("carry large files whole", async () => {
    await onHost(`mkdir -p ${HOST}/large; head -c 16m /dev/urandom >${HOST}/large/in`);
    const id = await containerWith([{ container_path: "/large", host_path: `${HOST}/large` }]);
    const copied = await inside(id, "/bin/busybox dd if=/large/in of=/large/out bs=1M");
    console.log("to the guest and back:", copied.stderr);
    expect(await onHost(`cmp ${HOST}/large/in ${HOST}/large/out && echo same`)).toBe("same");
  });

  it("that a VM cannot carry are refused by name", async () => {
    const refuse = async (mount: Mount) => {
      const container = { name: "refused", image: node.busybox, more: { mounts: [mount] } };
      const message = await node.crictl.refusedContainer(pod.id, container, pod.options);
      // crictl quotes the message and escapes the quotes in it.
      return message.replaceAll("\\", "");
    };
    const mount = { container_path: "/data", host_path: HOST };
    expect(await refuse({ ...mount, propagation: 2 })).toContain("cannot be seen by the node");
    expect(await refuse({ ...mount, host_path: "/proc/nothing/here" })).toMatch(
      /host path "\/proc\/nothing\/here" cannot be mounted/,
    );
  });

  it("outlive lightvmd", async () => {
    await onHost(`mkdir -p ${HOST}/dir; rm -f ${HOST}/dir/after`);
    const mount = { container_path: "/data", host_path: `${HOST}/dir` };
    const id = await containerWith([mount]);
    await node.daemon.end("KILL");
    await onHost(`echo meanwhile >${HOST}/dir/after`);
    await node.daemon.start();
    expect(await within(id, "cat /data/after")).toBe("meanwhile");
    const next = await containerWith([mount]);
    await within(next, "echo again >/data/after");
    expect(await onHost(`cat ${HOST}/dir/after`)).toBe("again");
  });

  it("end their pod when their server dies, and say why", async () => {
    const other = { name: "unlucky" };
    const victim = await node.crictl.runPod(other);
    const container = {
      name: "sleeper",
      image: node.busybox,
      command: ["sleep", "1000"],
      more: { mounts: [{ container_path: "/data", host_path: HOST }] },
    };
    const id = await node.crictl.start(victim, container, other);
    await onHost(`kill -KILL ${await fileServer(victim)}`);
    await expect
      .poll(async () => (await node.crictl.podStatus(victim)).state, { timeout: 30_000 })
      .toBe("SANDBOX_NOTREADY");
    expect(await node.daemon.log()).toContain("the file server of the pod's volumes is lost");
    expect(await node.crictl.containerStatus(id)).toMatchObject({
      state: "CONTAINER_EXITED",
      exitCode: 255,
    });
    await node.crictl.removePod(victim);
  });
});
