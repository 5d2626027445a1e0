// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";

const HOST = "/run/e2e-share";

describe("the file server of a pod's volumes", () => {
  let node: NodeUnderTest;
  let pod: PodUnderTest;
  let container: string;
  let pid: string;
  let status: string;
  const read = async (command: string) => (await node.box.exec(command)).stdout.trim();

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    await read(`mkdir -p ${HOST}/sub; ln -s /etc ${HOST}/etc; ln -s ../../../etc/shadow ${HOST}/up
      ln -s /proc/self/root ${HOST}/root`);
    pod = await PodUnderTest.run(node, { name: "shares" });
    container = await pod.start({
      name: "sleeper",
      command: ["sleep", "1000"],
      more: { mounts: [{ container_path: "/data", host_path: HOST }] },
    });
    const record = JSON.parse(await read(`cat /run/lightvm/pods/${pod.id}/shell.json`));
    pid = String(record.fileServer.pid);
    status = await read(`cat /proc/${pid}/status`);
  });
  afterAll(async () => {
    await pod.remove();
    await read(`rm -rf ${HOST}`);
    await node[Symbol.asyncDispose]();
  });

  it("is root on files and has no other right", () => {
    // CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, SETGID, SETUID.
    for (const set of ["CapPrm", "CapEff", "CapBnd"]) {
      expect(status).toMatch(new RegExp(`^${set}:\\t00000000000000df$`, "m"));
    }
    for (const set of ["CapInh", "CapAmb"]) {
      expect(status).toMatch(new RegExp(`^${set}:\\t0+$`, "m"));
    }
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
  });

  it("is filtered by seccomp in every thread", async () => {
    const all = await read(`cat /proc/${pid}/task/*/status | grep ^Seccomp:`);
    expect(new Set(all.split("\n"))).toEqual(new Set(["Seccomp:\t2"]));
  });

  it("names nothing but the volumes and its own descriptors", async () => {
    const root = `/proc/${pid}/root`;
    expect(await read(`ls -A ${root}/`)).toBe("proc\nvolumes");
    expect(await read(`ls -A ${root}/volumes`)).toBe(`${container}-0`);
    expect(await read(`ls -A ${root}/proc; ls -A ${root}/proc/self`)).toBe("self\nfd\nmountinfo");
    const points = await read(`cut -d' ' -f5 /proc/${pid}/mountinfo`);
    const own = ["/", "/proc/self/fd", "/volumes", `/volumes/${container}-0`];
    expect(points.split("\n").sort()).toEqual(own);
    expect((await node.box.exec(`touch ${root}/x ${root}/volumes/x`)).code).not.toBe(0);
  });

  it("has no network and no way to another process", async () => {
    const spaces = async (kind: string) =>
      await read(`readlink /proc/${pid}/ns/${kind} /proc/1/ns/${kind}`);
    for (const kind of ["net", "mnt", "ipc", "uts"]) {
      expect(new Set((await spaces(kind)).split("\n")).size, kind).toBe(2);
    }
  });

  it("does not follow links out of a volume: those are the container's to follow", async () => {
    const inside = async (script: string) =>
      await node.crictl.exec(container, ["sh", "-c", script]);
    expect((await inside("cat /data/etc/passwd")).stdout).toContain("app:x:1000");
    expect((await inside("cat /data/up")).code).not.toBe(0);
    expect((await inside("ls /data/root/data")).stdout).toBe("etc\nroot\nsub\nup\n");
    expect((await inside("ls /data/sub/../..")).stdout).toContain("bin\ndata\n");
  });
});
