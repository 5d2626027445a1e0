// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { ACCOUNT, Registry } from "../framework/registry.ts";
import { tracesOfPods } from "../framework/traces.ts";

const MIB = 1024 * 1024;
const IMAGES = "/var/lib/lightvm/images";

describe("an image that cannot be had gets a clear answer:", () => {
  let node: NodeUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
  });
  afterAll(async () => await node[Symbol.asyncDispose]());
  afterEach(async () => expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore));

  /** PullImage that must fail; returns crictl's message. Nothing of the image is listed. */
  async function refusedPull(reference: string, ...flags: string[]): Promise<string> {
    const { code, stderr } = await node.crictl.run(["pull", ...flags, reference], 120_000);
    expect(code).not.toBe(0);
    const [repository = ""] = reference.split(/:\w+$/);
    expect(await node.crictl.must(["images"])).not.toContain(repository);
    return stderr;
  }

  it("an unknown image", async () => {
    expect(await refusedPull(`${node.registry.host}/nothing:here`)).toMatch(/NotFound.*nothing/s);
  });

  it("a registry that is not there", async () => {
    const message = await refusedPull("127.0.0.1:5999/busybox:latest");
    expect(message).toMatch(/Unavailable.*127\.0\.0\.1:5999/s);
  });

  it("wrong credentials, or none, where the registry wants the right ones", async () => {
    await using closed = await Registry.start(node.box, { port: 5001, account: ACCOUNT });
    const image = await node.busyboxImage({ extra: [{ name: "etc/private", content: "yes" }] });
    const reference = await closed.push("private", "latest", image);
    const config = `[image.registries."${closed.host}"]\nplain_http = true\n`;
    await node.daemonWith({ config }, async () => {
      const creds = (password: string) => ["--creds", `${ACCOUNT.username}:${password}`];
      const wrong = await refusedPull(reference, ...creds("wrong horse"));
      expect(wrong).toMatch(/Unauthenticated.*127\.0\.0\.1:5001/s);
      expect(wrong).not.toContain("wrong horse");
      expect(await refusedPull(reference)).toMatch(/Unauthenticated.*127\.0\.0\.1:5001/s);
      await node.crictl.must(["pull", ...creds(ACCOUNT.password), reference], 120_000);
      await node.crictl.must(["rmi", reference]);
    });
  });

  it("a registry that dies in the middle of a blob; and when it is back, the pull succeeds", async () => {
    const extra = [{ name: "large", content: randomBytes(32 * MIB) }];
    const image = await node.busyboxImage({ extra, compression: "zstd" });
    const reference = await node.registry.push("large", "latest", image);
    const { stdout } = await node.box.exec(
      `crictl pull ${reference} 2>/tmp/pull.error & pull=$!
      timeout 60 sh -c 'until find ${IMAGES}/work -name "*.blob" -size +0 | grep -q .; do :; done'
      ${node.registry.killCommand}
      wait $pull; echo "code $?"; cat /tmp/pull.error; rm /tmp/pull.error`,
      { timeoutMs: 120_000 },
    );
    expect(stdout).toMatch(/^code [1-9].*Unavailable.*127\.0\.0\.1:5000/s);
    expect(await node.crictl.must(["images"])).not.toContain("large");
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
    await node.registry.resume();
    await node.crictl.must(["pull", reference], 120_000);
    await node.crictl.must(["rmi", reference]);
  });

  it("a blob that is not what its digest says", async () => {
    const extra = [{ name: "etc/mark", content: "to be damaged" }];
    const image = await node.busyboxImage({ extra });
    const reference = await node.registry.push("corrupt", "latest", image);
    const layer = image.blobs.at(-1);
    if (layer === undefined) throw new Error("the image has no layer");
    await node.registry.damage(layer);
    expect(await refusedPull(reference)).toMatch(new RegExp(`DataLoss.*${layer.digest}`, "s"));
  });

  it.each([
    ["no JSON at all", "{", /it is not JSON/],
    ["no layers", '{"architecture":"amd64","os":"linux"}', /rootfs/],
    [
      "a variable without a name",
      '{"architecture":"amd64","os":"linux","config":{"Env":["=x"]},"rootfs":{"type":"layers"}}',
      /a variable has no name/,
    ],
  ])("a malformed image configuration: %s", async (_what, configBytes, why) => {
    const image = await node.busyboxImage({ configBytes });
    const message = await refusedPull(await node.registry.push("malformed", "latest", image));
    expect(message).toMatch(/DataLoss.*configuration is malformed/s);
    expect(message).toMatch(why);
  });

  it("no room for it on the disk", async () => {
    const fill = `${IMAGES}/../filler`;
    // Other tests may have left it on the node, where it needs no more room.
    await node.crictl.run(["rmi", node.busybox]);
    await node.box.exec(
      `room=$(df -k ${IMAGES} | awk 'NR == 2 { print $4 }'); fallocate -l $((room - 20480))K ${fill}`,
    );
    const message = await refusedPull(node.busybox);
    await node.box.exec(`rm ${fill}`);
    expect(message).toMatch(/ResourceExhausted.*disk of .*images.* has no room/s);
    await node.crictl.must(["pull", node.busybox], 120_000);
  });

  it("an image that is not on the node, named by a container", async () => {
    const pod = { name: "no-image" };
    const sandbox = await node.crictl.runPod(pod);
    const container = { name: "lost", image: "127.0.0.1:5000/never:pulled" };
    const message = await node.crictl.refusedContainer(sandbox, container, pod);
    expect(message).toMatch(/NotFound.*127\.0\.0\.1:5000\/never:pulled.*pull it first/s);
    await node.crictl.removePod(sandbox);
  });

  it("a command that the image does not have", async () => {
    const pod = { name: "no-command" };
    await node.crictl.must(["pull", node.busybox], 120_000);
    const sandbox = await node.crictl.runPod(pod);
    const container = { name: "lost", image: node.busybox, command: ["/bin/not-there"] };
    const message = await node.crictl.refusedContainer(sandbox, container, pod);
    expect(message).toMatch(/\/bin\/not-there/);
    expect(await node.crictl.must(["ps", "-a", "-q"])).toBe("");
    await node.crictl.removePod(sandbox);
  });
});
