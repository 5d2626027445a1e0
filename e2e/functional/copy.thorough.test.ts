// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";

/** 100 MB; kubectl cp sends and fetches a file as a tar through an exec, as is done here. */
const BYTES = 100_000_000;
/** The file lies in the guest's memory, twice for a moment: in a pipe's pages, and as a file. */
const MEMORY_BYTES = 400 * 2 ** 20;
const FOLDER = "/var/lib/lightvm/copies";
const SLOW = { timeoutMs: 900_000 };

describe("kubectl cp of a large file", () => {
  let node: NodeUnderTest;
  let pod: PodUnderTest;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    const linux = { resources: { memory_limit_in_bytes: MEMORY_BYTES } };
    pod = await PodUnderTest.run(node, { name: "copies", linux });
  });
  afterAll(async () => {
    await node.box.exec(`rm -rf ${FOLDER}`);
    await pod.remove();
    await node[Symbol.asyncDispose]();
  });

  it("brings it into a container and out again, whole", { timeout: 1_000_000 }, async () => {
    const main = await pod.start({ name: "main", command: ["sleep", "100000"] });
    const script = [
      `set -e; mkdir -p ${FOLDER}/back; cd ${FOLDER}`,
      `head -c ${BYTES} /dev/urandom >blob`,
      `tar cf - blob | crictl exec -i ${main} busybox tar xmf - -C /tmp`,
      `crictl exec ${main} busybox md5sum /tmp/blob`,
      `crictl exec ${main} busybox tar cf - -C /tmp blob | tar xf - -C back`,
      "md5sum <blob; md5sum <back/blob; wc -c <back/blob",
    ];
    const { code, stdout, stderr } = await node.box.exec(script.join("\n"), SLOW);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const [inside, sent, fetched, size] = stdout.trim().split("\n");
    expect([inside?.split(" ")[0], fetched]).toEqual([sent?.split(" ")[0], sent]);
    expect(Number(size)).toBe(BYTES);
  });
});
