// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { testBusybox } from "../framework/box-for-tests.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import type { LayerEntry, OciImage } from "../framework/oci-image.ts";
import { tracesOfPods } from "../framework/traces.ts";

/** linux/capability.h, struct vfs_cap_data, version 2: cap_net_raw, effective. */
const CAP_NET_RAW = "\x01\0\0\x02\0\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

describe("an image from a registry", () => {
  const pod = { name: "images" };
  let node: NodeUnderTest;
  let sandbox: string;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    sandbox = await node.crictl.runPod(pod);
  });
  afterAll(async () => {
    await node.crictl.removePod(sandbox);
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
    await node[Symbol.asyncDispose]();
  });

  /** Runs a script in a container of the image; returns what it printed. */
  async function runs(image: string, script: string, linux = {}): Promise<string> {
    const command = ["sleep", "1000"];
    const id = await node.crictl.start(sandbox, { name: "look", image, command, linux }, pod);
    const { stdout, stderr } = await node.crictl.exec(id, ["sh", "-c", script]);
    await node.crictl.must(["rm", "-f", id]);
    return stdout + stderr;
  }

  async function pulled(name: string, image: OciImage): Promise<string> {
    const reference = await node.registry.push(name, "latest", image);
    await node.crictl.must(["pull", reference], 120_000);
    return reference;
  }

  it.each(["gzip", "zstd"] as const)("has its layers unpacked: %s", async (compression) => {
    const extra = [{ name: "etc/compression", content: compression }];
    const image = await node.busyboxImage({ extra, compression });
    expect(await runs(await pulled(compression, image), "cat /etc/compression")).toBe(compression);
  });

  it("is what its layers make of each other: links, owners, times, whiteouts", async () => {
    const lower: LayerEntry[] = [
      { name: "data/first", content: "shared", mode: 0o640, uid: 1000, gid: 2000 },
      { name: "data/second", type: "link", linkname: "data/first" },
      { name: "data/hidden", content: "not to be seen" },
      { name: "cleared/old", content: "not to be seen" },
      { name: "dated", content: "", mtime: new Date(86_400_000) },
    ];
    const upper: LayerEntry[] = [
      { name: "data/.wh.hidden", content: "" },
      { name: "cleared/.wh..wh..opq", content: "" },
      { name: "cleared/new", content: "" },
    ];
    const image = await node.busyboxImage({ extra: lower, more: [upper] });
    const script = [
      "stat -c '%h %a %u:%g' /data/first",
      "test $(stat -c %i /data/first) = $(stat -c %i /data/second) && echo same",
      "ls /data /cleared",
      "stat -c %Y /dated",
    ].join("\n");
    const answer = await runs(await pulled("layers", image), script);
    expect(answer.trim().split(/\s+/)).toEqual(
      "2 640 1000:2000 same /cleared: new /data: first second 86400".split(" "),
    );
  });

  it("keeps extended attributes: a program has the capability that its file gives", async () => {
    const content = await testBusybox();
    const pax = { "SCHILY.xattr.security.capability": CAP_NET_RAW };
    const extra = [{ name: "capable/grep", content, mode: 0o755, pax }];
    const reference = await pulled("capable", await node.busyboxImage({ extra }));
    const linux = { security_context: { run_as_user: { value: 1000 } } };
    const answer = await runs(reference, "/capable/grep CapEff: /proc/self/status", linux);
    expect(answer).toMatch(/^CapEff:\s+0000000000002000$/m);
  });

  it("can be pulled by digest, and has that digest then", async () => {
    const image = await node.busyboxImage({ extra: [{ name: "etc/digest", content: "" }] });
    await node.registry.push("by-digest", "latest", image);
    const reference = `${node.registry.host}/by-digest@${image.manifest.digest}`;
    await node.crictl.must(["pull", reference], 120_000);
    const images = await node.crictl.images("--digests");
    expect(images.flatMap(({ repoDigests }) => repoDigests)).toContain(reference);
    expect(await runs(reference, "ls /etc/digest")).toBe("/etc/digest\n");
  });

  it("is fetched once by pulls at the same time, and not again when it is there", async () => {
    const image = await node.busyboxImage({ extra: [{ name: "etc/once", content: "" }] });
    const reference = await node.registry.push("once", "latest", image);
    const pull = `crictl pull ${reference}`;
    const all = `${pull} & ${pull} & ${pull} & wait; ${pull}`;
    const { code } = await node.box.exec(all, { timeoutMs: 120_000 });
    expect(code).toBe(0);
    for (const { digest } of image.blobs) {
      expect(await node.registry.downloads("once", digest), digest).toBe(1);
    }
  });

  it.each([
    ["leads upwards", { name: "../escape", content: "" }],
    ["is not there", { name: "etc/link", type: "link", linkname: "etc/nothing" }],
    ["a file is on its way", { name: "bin/busybox/below", content: "" }],
  ] satisfies [string, LayerEntry][])("is refused when a path %s", async (why, entry) => {
    const image = await node.busyboxImage({ extra: [entry] });
    const reference = await node.registry.push("trick", "latest", image);
    const { code, stderr } = await node.crictl.run(["pull", reference], 120_000);
    expect(code).not.toBe(0);
    expect(stderr).toMatch(new RegExp(`DataLoss.*${why}`, "s"));
    expect(await node.crictl.must(["images"])).not.toContain("trick");
  });

  it("that is an index gives the manifest of this platform", async () => {
    const image = (name: string) => node.busyboxImage({ extra: [{ name, content: "" }] });
    const all = { arm64: await image("etc/other"), amd64: await image("etc/index") };
    const reference = await node.registry.pushIndex("index", "latest", all);
    await node.crictl.must(["pull", reference], 120_000);
    expect(await runs(reference, "ls /etc/index")).toBe("/etc/index\n");
  });
});
