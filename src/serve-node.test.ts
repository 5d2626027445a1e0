// SPDX-License-Identifier: Apache-2.0
import { existsSync, mkdirSync } from "node:fs";
import { expect, it, vi } from "vitest";
import { FakeImages } from "../test/harness/fake-images.ts";
import { FakeNetwork } from "../test/harness/fake-network.ts";
import { benchConfig, startLife } from "../test/harness/node-life.ts";
import { ToolstackBench } from "../test/harness/toolstack-bench.ts";
import { silentLogger } from "./shared/logger.ts";

it("no shell is made before the socket is there: until then, files get its mode", async () => {
  using bench = new ToolstackBench({ guest: "boots" });
  const { root } = bench;
  const { socket, state_directory } = benchConfig(root);
  mkdirSync(state_directory, { recursive: true });
  const toolstack = bench.toolstack();
  const start = vi.spyOn(toolstack, "start").mockImplementation(() => {
    expect(existsSync(socket)).toBe(true);
  });
  const parts = { images: new FakeImages(root), network: new FakeNetwork(root) };
  const life = await startLife(root, { ...parts, toolstack, logger: silentLogger() });
  expect(start).toHaveBeenCalledOnce();
  await life[Symbol.asyncDispose]();
});
