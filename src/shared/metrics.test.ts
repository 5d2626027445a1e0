// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { NodeMetrics } from "./metrics.ts";

it("looks gauges up when it is asked", async () => {
  const metrics = new NodeMetrics();
  const states = new Map([["ready", 1]]);
  metrics.gauge("test_pods", "Pods", "state", () => states);
  expect(await metrics.registry.metrics()).toContain('test_pods{state="ready"} 1');
  states.clear();
  states.set("not-ready", 2);
  const later = await metrics.registry.metrics();
  expect(later).toContain('test_pods{state="not-ready"} 2');
  expect(later).not.toContain('state="ready"');
});

it("keeps the metrics of two lives apart", async () => {
  const [one, other] = [new NodeMetrics(), new NodeMetrics()];
  one.calls.observe({ verb: "Version", code: "OK" }, 0.002);
  expect(await one.registry.metrics()).toContain('le="0.003",verb="Version",code="OK"} 1');
  expect(await other.registry.metrics()).not.toContain('verb="Version"');
});
