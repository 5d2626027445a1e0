// SPDX-License-Identifier: Apache-2.0
//
// The plugins that Kubernetes' nodes have beside bridge: each chain is configured while lightvmd
// runs, a pod is made on it, and nothing may be left once that pod is gone.
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { NetworkUnderTest, NODE_ADDRESS, POD_PORT } from "../framework/network-under-test.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { staticProgram } from "../framework/static-program.ts";
import { tracesOfPods } from "../framework/traces.ts";

const UDP = 1;

let node: NodeUnderTest;
let network: NetworkUnderTest;

beforeAll(async () => {
  node = await NodeUnderTest.start();
  network = new NetworkUnderTest(node);
  await node.crictl.must(["pull", node.busybox], 120_000);
});
afterEach(async () => {
  await network.reset();
  expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
});
afterAll(async () => await node[Symbol.asyncDispose]());

/** Addresses of these ranges, with a default route of each one's family. */
function hostLocal(...subnets: string[]): object {
  return {
    type: "host-local",
    ranges: subnets.map((subnet) => [{ subnet }]),
    routes: subnets.map((subnet) => ({ dst: subnet.includes(":") ? "::/0" : "0.0.0.0/0" })),
    dataDir: "/run/cni/leases",
  };
}

function bridge(name: string, ipam: object): object {
  return { type: "bridge", bridge: name, isGateway: true, ipam };
}

async function onNode(script: string): Promise<string> {
  return (await node.box.exec(script)).stdout;
}

describe("a pod on", () => {
  it("ptp: its own pair of interfaces and routed, without a bridge", async () => {
    const ipam = hostLocal("10.90.0.0/24", "fd90::/64");
    await network.configure("routed", [{ type: "ptp", ipMasq: true, ipam }]);
    const { id, ips } = await network.serve({ name: "routed" });
    expect(ips).toEqual([
      expect.stringMatching(/^10\.90\.0\.\d+$/),
      expect.stringMatching(/^fd90::/),
    ]);
    for (const ip of ips) expect(await network.fromNode(ip)).toBe("routed");
    expect(await network.inPod(id, "busybox ip -4 route")).toContain("default via 10.90.0.1");
    const other = await network.serve({ name: "other" });
    for (const ip of ips) {
      const get = `for try in 1 2 3; do nc -w 10 ${ip} ${POD_PORT} </dev/null && exit; done`;
      expect(await network.inPod(other.id, get)).toBe("routed");
    }
  });

  it("bandwidth: no faster than its annotations allow", async () => {
    const bandwidth = { type: "bandwidth", capabilities: { bandwidth: true } };
    await network.configure("slow", [bridge("slow0", hostLocal("10.91.0.0/24")), bandwidth]);
    const annotations = {
      "kubernetes.io/ingress-bandwidth": "8M",
      "kubernetes.io/egress-bandwidth": "16M",
    };
    const { ips } = await network.serve({ name: "slow", annotations });
    expect(await network.fromNode(ips[0] ?? "")).toBe("slow");
    const disciplines = await onNode("tc qdisc show");
    // To the pod: at its interface on the node. From it: by way of a device of the plugin's.
    expect(disciplines).toMatch(/qdisc tbf \S+ dev veth\S+ root .*rate 8Mbit/);
    expect(disciplines).toMatch(/qdisc tbf \S+ dev bwp\S+ root .*rate 16Mbit/);
  });

  it("firewall: let through by name, and no longer once it is gone", async () => {
    const ipam = hostLocal("10.92.0.0/24");
    const firewall = { type: "firewall", backend: "iptables" };
    await network.configure("walled", [bridge("walled0", ipam), firewall]);
    const { ips, sandbox } = await network.serve({ name: "walled" });
    const rules = `iptables -S CNI-FORWARD | grep -F ' ${ips[0]}/32 '`;
    expect(await network.fromNode(ips[0] ?? "")).toBe("walled");
    expect((await onNode(rules)).trim().split("\n")).toHaveLength(2);
    await node.crictl.removePod(sandbox);
    expect(await onNode(rules)).toBe("");
  });

  it("IPv6 alone", async () => {
    await network.configure("six", [bridge("six0", hostLocal("fd93::/64"))]);
    const { id, ips } = await network.serve({ name: "six" });
    expect(ips).toEqual([expect.stringMatching(/^fd93::/)]);
    expect(await network.fromNode(ips[0] ?? "")).toBe("six");
    expect(await network.inPod(id, "cat /etc/hosts")).toContain(`${ips[0]}\tsix`);
    expect(await network.inPod(id, "busybox ip -6 route")).toMatch(/default via fd93::1 dev eth0/);
    expect(await network.inPod(id, "busybox ip -4 -o addr show eth0")).toBe("");
  });

  it("a range that UpdateRuntimeConfig names", async () => {
    const update = ["update-runtime-config", "--pod-cidr"];
    await node.crictl.must([...update, "10.94.7.0/24,fd94::/64"]);
    const ipam = { type: "host-local", dataDir: "/run/cni/leases" };
    const given = { ...bridge("given0", ipam), capabilities: { ipRanges: true } };
    await network.configure("given", [given]);
    const { ips } = await network.serve({ name: "given" });
    expect(ips).toEqual([
      expect.stringMatching(/^10\.94\.7\.\d+$/),
      expect.stringMatching(/^fd94::/),
    ]);
    expect(await network.fromNode(ips[0] ?? "")).toBe("given");
    // It is kept, and the box's own network does not ask for it.
    await node.crictl.must([...update, "10.88.0.0/16"]);
  });
});

describe("a port of the node", () => {
  it("leads to a pod over UDP", async () => {
    const program = await staticProgram(join(import.meta.dirname, "programs/udp-echo.c"));
    const extra = [{ name: "bin/udp-echo", mode: 0o755, content: program }];
    const image = await node.registry.push("udp", "1", await node.busyboxImage({ extra }));
    await node.crictl.must(["pull", image], 120_000);
    const more = {
      port_mappings: [{ container_port: POD_PORT, host_port: 30053, protocol: UDP }],
    };
    await network.serve({ name: "datagrams", more }, ["udp-echo", String(POD_PORT)], image);
    const ask = `exec 3<>/dev/udp/${NODE_ADDRESS}/30053
      for try in $(seq 20); do
        echo hello >&3; timeout 2 head -n 1 <&3 | grep . && break; done`;
    const { stdout } = await node.box.exec(`bash -c '${ask}'`, { timeoutMs: 120_000 });
    expect(stdout.trim()).toBe("hello");
  });

  it("leads to a pod at one address only, when the pod wants that", async () => {
    const mapping = { container_port: POD_PORT, host_port: 30081, host_ip: NODE_ADDRESS };
    await network.serve({ name: "bound", more: { port_mappings: [{ ...mapping, protocol: 0 }] } });
    expect(await network.fromNode(NODE_ADDRESS, 30081)).toBe("bound");
    // The bridge's, which is the node's as well.
    const { code } = await node.box.exec("busybox nc -w 5 10.88.0.1 30081 </dev/null");
    expect(code).not.toBe(0);
  });
});

describe("a network that is looked at when lightvmd starts", () => {
  const FAULT = "CNI's CHECK of a pod's network has failed";
  const WHOLE = "CNI's CHECK of a pod's network has passed";

  /** What the next lightvmd says of the networks of two pods. */
  async function findings(): Promise<string[]> {
    const { stdout } = await node.box.exec(
      `for try in $(seq 60); do
         [ $(grep -c -e "${FAULT}" -e "${WHOLE}" /run/lightvmd.log) = 2 ] && break; sleep 1
       done; grep -e "${FAULT}" -e "${WHOLE}" /run/lightvmd.log`,
      { timeoutMs: 120_000 },
    );
    const lines = stdout.trim().split("\n");
    return lines
      .map((line) => JSON.parse(line) as { name: string; msg: string; error?: unknown })
      .map(({ error, msg, name }) => `${name}: ${msg === WHOLE ? "whole" : JSON.stringify(error)}`)
      .sort();
  }

  it("is whole, or is named with what is missing", async () => {
    const { ips, sandbox } = await network.serve({ name: "first" });
    await network.serve({ name: "second" });
    await node.daemon.end("KILL");
    await node.daemon.start();
    expect(await findings()).toEqual(["first: whole", "second: whole"]);

    await node.daemon.end("KILL");
    const { code } = await node.box.exec(
      `nsenter --net=/run/lightvm/netns/${sandbox} ip route delete default`,
    );
    expect(code).toBe(0);
    await node.daemon.start();
    expect(await findings()).toEqual([
      expect.stringMatching(/^first: .*the CNI plugin .*bridge.* failed at CHECK/),
      "second: whole",
    ]);
    // It is a finding, no verdict: the guest has routes of its own.
    expect(await network.fromNode(ips[0] ?? "")).toBe("first");
  });
});
