// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { ociImage } from "../framework/oci-image.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";
import { USER_NAMESPACE } from "../framework/user-namespace.ts";

type Json = Record<string, unknown>;

/** Two layers, of which the upper one replaces a file of the lower; and links that want out. */
const MODEL = {
  layers: [
    [
      { name: "weights/", type: "directory" as const },
      { name: "weights/one", content: "old\n" },
      { name: "weights/run", content: "#!/bin/busybox sh\necho runs\n", mode: 0o755 },
      { name: "owned", content: "text\n", uid: 1000, gid: 1001 },
      { name: "out", type: "symlink" as const, linkname: "/../../../run" },
      { name: "away", type: "symlink" as const, linkname: "../../weights" },
    ],
    [{ name: "weights/one", content: "new\n" }],
  ],
};

describe("volumes that are images", () => {
  let node: NodeUnderTest;
  let model: string;
  let started = 0;

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    model = await node.registry.push("model", "1", await ociImage(MODEL));
    await node.crictl.must(["pull", model], 120_000);
  });
  afterAll(async () => await node[Symbol.asyncDispose]());

  const waiting = (mounts: readonly Json[]) => {
    started += 1;
    return { name: `waits-${started}`, command: ["sleep", "1000"], more: { mounts } };
  };
  const volume = (place: string, more: Json = {}) => ({
    container_path: place,
    image: { image: model },
    readonly: true,
    ...more,
  });

  it.each([
    ["the guest's ids", {}],
    ["a user namespace", { linux: { security_context: { namespace_options: USER_NAMESPACE } } }],
  ])("are seen read-only, whole or in part, in a pod with %s", async (_, more) => {
    const pod = await PodUnderTest.run(node, { name: `images-${started}`, ...more });
    const id = await pod.start(
      waiting([
        volume("/model"),
        volume("/deep/in/weights", { image_sub_path: "away" }),
        volume("/one", { image_sub_path: "weights/one" }),
      ]),
    );
    const within = async (script: string) => await node.within(id, script);
    const inside = async (script: string) => (await node.inside(id, script)).stderr;
    expect(await within("cat /model/weights/one /deep/in/weights/one /one")).toBe("new\nnew\nnew");
    expect(await within("/bin/busybox stat -c %u:%g /model/owned /model")).toBe("1000:1001\n0:0");
    expect(await inside("echo x >/model/new")).toContain("Read-only file system");
    expect(await inside("/bin/busybox mount -o remount,rw /one")).not.toBe("");
    expect(await inside("/model/weights/run")).toContain("Permission denied");
    await pod.remove();
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });

  it("stay for as long as their container, whatever becomes of lightvmd", async () => {
    const pod = await PodUnderTest.run(node, { name: "stays" });
    const id = await pod.start(waiting([volume("/model")]));
    await node.daemon.end("KILL");
    await node.daemon.start();
    expect(await node.within(id, "cat /model/weights/one")).toBe("new");
    const refused = await node.crictl.run(["rmi", model]);
    expect(refused.stderr).toContain(`in use by container ${id}`);
    const [shown] = (await node.crictl.containerStatus(id)).mounts;
    expect(shown).toMatchObject({ containerPath: "/model", hostPath: "", readonly: true });
    // A second container of the pod shares the disk; one goes, the other still reads.
    const other = await pod.start(waiting([volume("/other", { image_sub_path: "weights" })]));
    await node.crictl.must(["rm", "-f", id], 120_000);
    expect(await node.within(other, "cat /other/one")).toBe("new");
    await pod.remove();
    await node.crictl.must(["rmi", model]);
    await node.crictl.must(["pull", model], 120_000);
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });

  it("that cannot be are refused by name, and leave nothing", async () => {
    const pod = await PodUnderTest.run(node, { name: "refused" });
    const refused = async (mount: Json) => {
      const container = pod.container(waiting([mount]));
      const said = await node.crictl.refusedContainer(pod.id, container, pod.options);
      return said.replaceAll("\\", "");
    };
    const none = { image: `${node.registry.host}/none:1` };
    expect(await refused(volume("/data", { image: none }))).toMatch(/none:1" is not on this node/);
    expect(await refused(volume("/data", { host_path: "/srv" }))).toMatch(/both a host_path and/);
    for (const path of ["nothing", "out", "weights/one/below"]) {
      const message = `the image of a volume has no "${path}"`;
      expect(await refused(volume("/data", { image_sub_path: path }))).toContain(message);
    }
    expect(await node.crictl.must(["ps", "-aq", "-p", pod.id])).toBe("");
    await pod.remove();
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });
});
