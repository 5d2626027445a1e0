// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, expect, it } from "vitest";
import { CriClient } from "../../test/harness/cri-client.ts";
import { connectCriTo } from "../../test/harness/cri-endpoint.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PoolUnderTest } from "../framework/pool-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

const PODS = 50;
const SHELLS = 10;

let node: NodeUnderTest;
beforeAll(async () => {
  node = await NodeUnderTest.start();
});
afterAll(async () => await node[Symbol.asyncDispose]());

it("a burst of 50 pods against a pool of 10 is served in order, without a failure", async () => {
  const pool = await PoolUnderTest.of(node);
  await pool.fill(SHELLS);
  // 50 processes of crictl would need more of dom0's memory than the pods.
  const port = await node.box.forward("/run/lightvm/lightvmd.sock");
  const endpoint = connectCriTo(`127.0.0.1:${port}`, "/var/log/pods");
  const cri = new CriClient({ endpoint });
  const order: number[] = [];
  const pods = await Promise.all(
    Array.from({ length: PODS }, async (_, n) => {
      const metadata = { name: `burst-${n}`, uid: `${n}`, namespace: "default", attempt: 0 };
      const id = await cri.runPod({ metadata });
      order.push(n);
      return id;
    }),
  );
  // Some start at once, so neighbours may overtake each other, but nobody is left behind.
  for (const [place, n] of order.entries()) expect(Math.abs(place - n)).toBeLessThan(10);
  expect(await pool.hits()).toBeGreaterThanOrEqual(SHELLS);
  await Promise.all(pods.map((id) => cri.removePod(id)));
  endpoint.close();
  await pool.empty();
  expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
}, 1_800_000);
