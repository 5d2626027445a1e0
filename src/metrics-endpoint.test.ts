// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { serveMetrics } from "./metrics-endpoint.ts";
import { silentLogger } from "./shared/logger.ts";
import { NodeMetrics } from "./shared/metrics.ts";

const LOOPBACK = { host: "127.0.0.1", port: 0 };

it("serves metrics and nothing else", async () => {
  const metrics = new NodeMetrics();
  metrics.boots.observe({ guest: "linux" }, 0.04);
  await using endpoint = await serveMetrics(LOOPBACK, metrics, silentLogger());
  const get = (path: string, method = "GET") =>
    fetch(`http://127.0.0.1:${endpoint.port}${path}`, { method });
  const answer = await get("/metrics?x=1");
  expect(answer.headers.get("content-type")).toContain("text/plain");
  expect(await answer.text()).toContain('lightvmd_guest_boot_seconds_count{guest="linux"} 1');
  expect((await get("/")).status).toBe(404);
  expect((await get("/metrics", "POST")).status).toBe(405);
  expect(await (await get("/metrics", "HEAD")).text()).toBe("");
});

it("says so when the address is taken", async () => {
  const metrics = new NodeMetrics();
  await using first = await serveMetrics(LOOPBACK, metrics, silentLogger());
  const second = serveMetrics({ ...LOOPBACK, port: first.port }, metrics, silentLogger());
  await expect(second).rejects.toMatchObject({ code: "unavailable" });
});
