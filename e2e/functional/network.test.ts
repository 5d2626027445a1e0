// SPDX-License-Identifier: Apache-2.0
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { PodOptions } from "../framework/crictl.ts";
import {
  CNI_CONFIG,
  NetworkUnderTest,
  NODE_ADDRESS,
  POD_PORT,
} from "../framework/network-under-test.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

let node: NodeUnderTest;
let network: NetworkUnderTest;

beforeAll(async () => {
  node = await NodeUnderTest.start();
  network = new NetworkUnderTest(node);
  await node.crictl.must(["pull", node.busybox], 120_000);
});
afterEach(async () => await network.reset());
afterAll(async () => await node[Symbol.asyncDispose]());

const serve = async (pod: PodOptions) => await network.serve(pod);
const fromNode = async (...where: [string, number?]) => await network.fromNode(...where);
const inPod = async (id: string, script: string) => await network.inPod(id, script);

describe("a pod's network", () => {
  it("joins node, pod and pod, over both protocols", async () => {
    const first = await serve({ name: "first" });
    const second = await serve({ name: "second" });
    expect(first.ips).toEqual([
      expect.stringMatching(/^10\.88\.\d+\.\d+$/),
      expect.stringMatching(/^fd88::/),
    ]);
    for (const ip of first.ips) expect(await fromNode(ip)).toBe("first");
    for (const ip of first.ips) {
      const get = `for try in 1 2 3; do nc -w 10 ${ip} ${POD_PORT} </dev/null && exit; done`;
      expect(await inPod(second.id, get)).toBe("first");
    }
    // The node's bridge is the gateway.
    expect(
      await inPod(second.id, "busybox ping -c 1 -W 10 10.88.0.1 >/dev/null && echo there"),
    ).toBe("there");
    expect(await inPod(second.id, "busybox ip -o -4 addr show eth0")).toContain(second.ips[0]);
    expect(await inPod(second.id, "busybox ip -4 route")).toContain(
      "default via 10.88.0.1 dev eth0",
    );
  });

  it("is there on the node's port", async () => {
    const more = { port_mappings: [{ container_port: POD_PORT, host_port: 30080, protocol: 0 }] };
    await serve({ name: "published", more });
    expect(await fromNode(NODE_ADDRESS, 30080)).toBe("published");
  });

  it("has the pod's names, servers and settings", async () => {
    const more = {
      dns_config: { servers: ["192.0.2.53"], searches: ["a.example"], options: ["ndots:5"] },
    };
    const linux = { sysctls: { "net.ipv4.ip_unprivileged_port_start": "99" } };
    const { id, ips } = await serve({ name: "named", more, linux });
    expect(await inPod(id, "cat /etc/resolv.conf")).toBe(
      "search a.example\nnameserver 192.0.2.53\noptions ndots:5",
    );
    expect(await inPod(id, "cat /etc/hosts")).toContain(`${ips[0]}\tnamed`);
    expect(await inPod(id, "hostname")).toBe("named");
    const sysctl = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start";
    expect(await inPod(id, sysctl)).toBe("99");
  });

  it("has the MTU that the plugins gave it", async () => {
    const edit = `s/"isGateway"/"mtu": 1400, "isGateway"/; s/"lightvm0"/"small0"/; s/10\\.88/10.99/`;
    await node.box.exec(
      `sed '${edit}' ${CNI_CONFIG}/10-lightvm.conflist >${CNI_CONFIG}/05-small.conflist`,
    );
    const { id } = await serve({ name: "small" });
    expect(await inPod(id, "cat /sys/class/net/eth0/mtu")).toBe("1400");
  });

  it("outlives lightvmd, and leaves nothing behind when it goes", async () => {
    const { ips, sandbox } = await serve({ name: "lasting" });
    await node.daemon.end("KILL");
    expect(await fromNode(ips[0] ?? "")).toBe("lasting");
    await node.daemon.start();
    expect(await fromNode(ips[1] ?? "")).toBe("lasting");
    await node.crictl.removePod(sandbox);
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });

  it("is undone when a plugin fails", async () => {
    const script = `#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exit 0
echo '{"cniVersion":"1.0.0","code":999,"msg":"no more room"}'
exit 1
`;
    await node.box.exec("cat >/usr/lib/cni/full && chmod +x /usr/lib/cni/full", { input: script });
    const edit = `s/"type": "portmap"/"type": "full"/`;
    await node.box.exec(
      `sed '${edit}' ${CNI_CONFIG}/10-lightvm.conflist >${CNI_CONFIG}/05-full.conflist`,
    );
    const message = await node.crictl.refusedPod({ name: "unlucky" });
    // crictl quotes the message and escapes the quotes in it.
    expect(message.replaceAll("\\", "")).toContain(
      'the CNI plugin "full" of network "lightvm" failed at ADD',
    );
    expect(message).toContain("no more room");
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });
});

describe("a node without a network", () => {
  it("says so, takes no pods, and is ready when there is one", async () => {
    const ready = async () =>
      (await node.crictl.conditions()).find(({ type }) => type === "NetworkReady");
    await node.box.exec(`mv ${CNI_CONFIG}/10-lightvm.conflist /run/aside`);
    expect(await ready()).toMatchObject({ status: false, reason: "NetworkPluginNotReady" });
    expect(await node.crictl.refusedPod({ name: "early" })).toContain(
      "there is no CNI network configuration in /etc/cni/net.d",
    );
    await node.box.exec(`mv /run/aside ${CNI_CONFIG}/10-lightvm.conflist`);
    expect(await ready()).toMatchObject({ status: true });
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });
});
