// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync } from "node:fs";
import { expect, it, vi } from "vitest";
import { FakeImages } from "../test/harness/fake-images.ts";
import { FakeNetwork } from "../test/harness/fake-network.ts";
import { benchConfig, startLife } from "../test/harness/node-life.ts";
import { ToolstackBench } from "../test/harness/toolstack-bench.ts";
import type { ServingNode } from "./serve-node.ts";
import { runtimeConditions } from "./service/node/status.ts";
import { LightvmError } from "./shared/errors.ts";
import { silentLogger } from "./shared/logger.ts";
import type { LightvmToolstack } from "./toolstack/lightvm-toolstack.ts";

/** One life of a node on the bench, with this toolstack. */
async function serve({ root }: ToolstackBench, toolstack: LightvmToolstack): Promise<ServingNode> {
  mkdirSync(benchConfig(root).state_directory, { recursive: true });
  const parts = { images: new FakeImages(root), network: new FakeNetwork(root) };
  return await startLife(root, { ...parts, toolstack, logger: silentLogger() });
}

it("no shell is made before the socket is there: until then, files get its mode", async () => {
  using bench = new ToolstackBench({ guest: "boots" });
  const toolstack = bench.toolstack();
  const start = vi.spyOn(toolstack, "start").mockImplementation(() => {
    expect(existsSync(benchConfig(bench.root).socket)).toBe(true);
  });
  await using _node = await serve(bench, toolstack);
  expect(start).toHaveBeenCalledOnce();
});

it("a node without Xen serves and can say so, also with a pool", async () => {
  using bench = new ToolstackBench({ guest: "boots" }, { pool: { size: 1 } });
  const refuse = () => {
    throw new LightvmError("unavailable", "Xen is not available");
  };
  Object.assign(bench.hypervisor, { info: refuse, listDomains: refuse, domainsState: refuse });
  await using node = await serve(bench, bench.toolstack());
  expect(runtimeConditions(node.context)).toContainEqual(
    expect.objectContaining({ type: "RuntimeReady", message: "Xen is not available" }),
  );
});
