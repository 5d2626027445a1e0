// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { NetworkRequest } from "../network.ts";
import { capabilityArguments, runtimeConfig } from "./capabilities.ts";

function request(change: Partial<NetworkRequest> = {}): NetworkRequest {
  return {
    id: "a".repeat(64),
    name: "web",
    namespace: "default",
    uid: "u1",
    portMappings: [],
    dns: { servers: [], searches: [], options: [] },
    annotations: {},
    ...change,
  };
}

describe("what plugins can be told", () => {
  it("is nothing for a pod that asks for nothing", () => {
    expect(capabilityArguments(request(), [])).toEqual({});
  });

  it("is each thing that there is", () => {
    const portMappings = [
      { hostPort: 8080, containerPort: 80, protocol: "tcp", hostIP: "" },
    ] as const;
    const dns = { servers: ["10.0.0.53"], searches: [], options: [] };
    const annotations = {
      "kubernetes.io/ingress-bandwidth": "10M",
      "kubernetes.io/egress-bandwidth": "1.5Gi",
    };
    const given = capabilityArguments(request({ annotations, dns, portMappings }), [
      "10.1.0.0/24",
      "fd01::/64",
    ]);
    expect(given).toEqual({
      portMappings,
      dns,
      bandwidth: {
        ingressRate: 10_000_000,
        ingressBurst: 2147483647,
        egressRate: 1_610_612_736,
        egressBurst: 2147483647,
      },
      ipRanges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd01::/64" }]],
    });
    const plugin = { type: "portmap", capabilities: { portMappings: true, bandwidth: false } };
    expect(runtimeConfig(plugin, given)).toEqual({ portMappings });
    expect(runtimeConfig({ type: "bridge" }, given)).toBeUndefined();
  });

  it.each(["", "fast", "-1M", "0", "1Q", "1e3"])("refuses a bandwidth of %j", (text) => {
    const annotations = { "kubernetes.io/ingress-bandwidth": text };
    expect(() => capabilityArguments(request({ annotations }), [])).toThrow(/no bandwidth/);
  });
});
