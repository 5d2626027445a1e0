// SPDX-License-Identifier: Apache-2.0
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { NodeProcessStarter } from "../../../test/harness/node-process-starter.ts";
import { Database } from "../../shared/database.ts";
import { silentLogger } from "../../shared/logger.ts";
import { NamespaceReserve } from "../namespace-reserve.ts";
import type { NetworkRequest } from "../network.ts";
import { AttachmentStore } from "./attachment-store.ts";
import { CniNetwork } from "./cni-network.ts";

const A = "a".repeat(64);
const B = "b".repeat(64);
const signal = new AbortController().signal;

const RESULT = {
  cniVersion: "1.0.0",
  interfaces: [{ name: "br0" }, { name: "eth0", sandbox: "/netns" }],
  ips: [
    { address: "10.0.0.1/24", interface: 0 },
    { address: "10.0.0.2/24", gateway: "10.0.0.1", interface: 1 },
    { address: "fd00::2/64", interface: 1 },
  ],
  dns: { nameservers: ["10.0.0.53"] },
};

/** Writes down how it was called, then does what NAME.sh says. */
const PLUGIN = `#!/bin/sh
name=\${0##*/}
config=$(cat)
printf '{"name":"%s","command":"%s","id":"%s","netns":"%s","ifname":"%s","args":"%s","config":%s}\\n' \\
  "$name" "$CNI_COMMAND" "$CNI_CONTAINERID" "$CNI_NETNS" "$CNI_IFNAME" "$CNI_ARGS" "$config" \\
  >>"$CNI_PATH/calls"
. "$CNI_PATH/$name.sh"
`;

interface Call {
  name: string;
  command: string;
  netns: string;
  args: string;
  config: Record<string, unknown>;
}

let root: string;
let database: Database;
let network: CniNetwork;
const path = (...parts: string[]) => join(root, ...parts);

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "lightvm-cni-"));
  for (const name of ["net.d", "bin", "netns"]) mkdirSync(path(name));
  plugin("bridge", `[ "$CNI_COMMAND" = ADD ] && echo '${JSON.stringify(RESULT)}'; true`);
  plugin("portmap", `[ "$CNI_COMMAND" = ADD ] && echo '${JSON.stringify(RESULT)}'; true`);
  configure({});
  database = new Database(":memory:");
  network = restarted();
});
afterEach(() => {
  database.close();
  rmSync(root, { recursive: true, force: true });
});

function plugin(name: string, does: string): void {
  writeFileSync(path("bin", name), PLUGIN);
  chmodSync(path("bin", name), 0o755);
  writeFileSync(path("bin", `${name}.sh`), does);
}

function configure(change: object): void {
  const plugins = [{ type: "bridge" }, { type: "portmap", capabilities: { portMappings: true } }];
  const list = { cniVersion: "1.0.0", name: "pods", plugins, ...change };
  writeFileSync(path("net.d", "10.conflist"), JSON.stringify(list));
}

/** Namespaces are files with this content here; any other file is where one was to be. */
const NAMESPACE = "a namespace";

function restarted(timeoutMs = 20_000): CniNetwork {
  const keep = async (_fd: number, file: string) => writeFileSync(file, NAMESPACE, { flag: "wx" });
  const open = async () => openSync("/dev/null", "r");
  const logger = silentLogger();
  return new CniNetwork({
    configDirectory: path("net.d"),
    plugins: { directory: path("bin"), timeoutMs, starter: new NodeProcessStarter() },
    namespaceDirectory: path("netns"),
    namespaces: {
      open,
      keep,
      exists: (file) => existsSync(file) && readFileSync(file, "utf8") === NAMESPACE,
      delete: async (file) => rmSync(file, { force: true }),
      openTap: async () => {
        throw new Error("no taps here");
      },
    },
    reserve: new NamespaceReserve({ namespaces: { open, keep }, size: 0, quietMs: 0, logger }),
    store: new AttachmentStore(database),
    logger,
  });
}

function request(id = A): NetworkRequest {
  const portMappings = [{ hostPort: 80, containerPort: 80, protocol: "tcp", hostIP: "" }] as const;
  const dns = { servers: [], searches: [], options: [] };
  return { id, name: "web", namespace: "default", uid: "u1", portMappings, dns, annotations: {} };
}

/** What plugins were asked since the last time. */
function calls(): Call[] {
  const file = path("bin", "calls");
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, "utf8").trim().split("\n");
  rmSync(file);
  return lines.map((line) => JSON.parse(line));
}

const names = (list: Call[]) => list.map(({ name, command }) => `${name} ${command}`);

describe("a pod in a network of plugins", () => {
  it("is attached by each in turn and detached in reverse", async () => {
    const attachment = await network.attach(request(), signal);
    expect(attachment.steps.map(({ name }) => name)).toEqual(["namespace", "bridge", "portmap"]);
    expect(attachment).toMatchObject({
      addresses: ["10.0.0.2", "fd00::2"],
      dns: { servers: ["10.0.0.53"], searches: [], options: [] },
    });
    const [bridge, portmap] = calls();
    expect(bridge).toMatchObject({
      name: "bridge",
      command: "ADD",
      id: A,
      netns: path("netns", A),
      ifname: "eth0",
      config: { cniVersion: "1.0.0", name: "pods", type: "bridge" },
    });
    expect(bridge?.args.split(";")).toEqual([
      "IgnoreUnknown=1",
      "K8S_POD_NAMESPACE=default",
      "K8S_POD_NAME=web",
      `K8S_POD_INFRA_CONTAINER_ID=${A}`,
      "K8S_POD_UID=u1",
    ]);
    expect(bridge?.config).not.toHaveProperty("runtimeConfig");
    expect(portmap?.config).toMatchObject({
      prevResult: RESULT,
      runtimeConfig: { portMappings: request().portMappings },
    });

    await network.check(A, signal);
    const checks = calls();
    expect(names(checks)).toEqual(["bridge CHECK", "portmap CHECK"]);
    expect(checks[0]?.config["prevResult"]).toEqual(RESULT);

    await network.detach(A);
    const ends = calls();
    expect(names(ends)).toEqual(["portmap DEL", "bridge DEL"]);
    expect(ends[0]?.config).toMatchObject({ prevResult: RESULT, runtimeConfig: {} });
    expect(existsSync(path("netns", A))).toBe(false);
    await network.detach(A);
    expect(calls()).toEqual([]);
  });

  it("is detached as it was attached, whatever the configuration says now", async () => {
    await network.attach(request(), signal);
    configure({ name: "other", plugins: [{ type: "portmap" }] });
    calls();
    network = restarted();
    await network.detach(A);
    const ends = calls();
    expect(names(ends)).toEqual(["portmap DEL", "bridge DEL"]);
    expect(ends[1]?.config["name"]).toBe("pods");
  });

  it("is detached without its namespace after a reboot", async () => {
    await network.attach(request(), signal);
    rmSync(path("netns", A));
    calls();
    await restarted().detach(A);
    expect(calls().map(({ netns }) => netns)).toEqual(["", ""]);
  });

  it("is detached when a crash has left only the file that its namespace was to be kept at", async () => {
    await network.attach(request(), signal);
    writeFileSync(path("netns", A), "");
    calls();
    await restarted().detach(A);
    expect(calls().map(({ netns }) => netns)).toEqual(["", ""]);
    expect(existsSync(path("netns", A))).toBe(false);
  });

  it("stays to be detached when a plugin fails at that", async () => {
    await network.attach(request(), signal);
    plugin("bridge", `echo '{"code":100,"msg":"not now","details":"busy"}'; exit 1`);
    await expect(network.detach(A)).rejects.toThrow(
      'the CNI plugin "bridge" of network "pods" failed at DEL (code 100): not now; busy',
    );
    expect(existsSync(path("netns", A))).toBe(true);
    plugin("bridge", "true");
    await network.detach(A);
    expect(existsSync(path("netns", A))).toBe(false);
  });

  it("is undone when a plugin fails in the middle", async () => {
    plugin("portmap", `[ "$CNI_COMMAND" = DEL ] || { echo out of ports >&2; exit 3; }`);
    await expect(network.attach(request(), signal)).rejects.toMatchObject({
      code: "internal",
      message: 'the CNI plugin "portmap" of network "pods" failed at ADD (exit 3): out of ports',
    });
    calls();
    await network.detach(A);
    expect(names(calls())).toEqual(["portmap DEL", "bridge DEL"]);
    expect(existsSync(path("netns", A))).toBe(false);
  });

  it("hears of plugins that want to be asked later, answer nonsense or hang", async () => {
    plugin("bridge", `echo '{"code":11,"msg":"soon"}'; exit 1`);
    await expect(network.attach(request(), signal)).rejects.toMatchObject({ code: "unavailable" });
    plugin("bridge", `[ "$CNI_COMMAND" = DEL ] || echo hello`);
    await network.detach(A);
    await expect(network.attach(request(), signal)).rejects.toThrow(/no CNI result: hello/);
    await network.detach(A);
    plugin("bridge", `[ "$CNI_COMMAND" = DEL ] || exec sleep 60`);
    await expect(restarted(100).attach(request(), signal)).rejects.toMatchObject({
      code: "deadline-exceeded",
    });
    await network.detach(A);
  });

  it("asks a plugin again that a signal or a busy network has interrupted", async () => {
    const interrupted = `{"code":999,"msg":"could not get list of IP addresses: interrupted system call"}`;
    plugin(
      "bridge",
      `again="$CNI_PATH/again-$CNI_COMMAND"
      [ -e "$again" ] || { : >"$again"; echo '${interrupted}'; exit 1; }
      [ "$CNI_COMMAND" = ADD ] && echo '${JSON.stringify(RESULT)}'; true`,
    );
    await network.attach(request(), signal);
    await network.detach(A);
    expect(names(calls())).toEqual([
      ...["bridge ADD", "bridge DEL", "bridge DEL", "bridge ADD", "portmap ADD"],
      ...["portmap DEL", "bridge DEL"],
    ]);
  });

  it("gives up on a plugin that is interrupted each time", async () => {
    plugin("bridge", `echo '{"code":999,"msg":"interrupted system call"}'; exit 1`);
    await expect(network.attach(request(), signal)).rejects.toThrow(/interrupted system call/);
    plugin("bridge", "true");
    await network.detach(A);
  });

  it("is cancelled between two plugins: what one has half done, none can undo", async () => {
    const script = `[ "$CNI_COMMAND" = ADD ] || exit 0
      : >"$(dirname "$0")/begun"
      until [ -e "$(dirname "$0")/go" ]; do sleep 0.01; done
      : >"$(dirname "$0")/done"; echo '${JSON.stringify(RESULT)}'`;
    plugin("bridge", script);
    const controller = new AbortController();
    const attaching = network.attach(request(), controller.signal);
    await expect.poll(() => existsSync(path("bin", "begun"))).toBe(true);
    controller.abort();
    writeFileSync(path("bin", "go"), "");
    await expect(attaching).rejects.toMatchObject({ code: "cancelled" });
    expect(existsSync(path("bin", "done"))).toBe(true);
    expect(names(calls())).toEqual(["bridge ADD"]);
    await network.detach(A);
    expect(names(calls())).toEqual(["portmap DEL", "bridge DEL"]);
    expect(existsSync(path("netns", A))).toBe(false);
  });

  it("is looked at for no longer than somebody wants to know", async () => {
    await network.attach(request(), signal);
    plugin(
      "bridge",
      `[ "$CNI_COMMAND" = CHECK ] && { : >"$CNI_PATH/looks"; exec sleep 60; }; true`,
    );
    const controller = new AbortController();
    const looking = network.check(A, controller.signal);
    await expect.poll(() => existsSync(path("bin", "looks"))).toBe(true);
    controller.abort();
    await expect(looking).rejects.toMatchObject({ code: "cancelled" });
    await network.detach(A);
  });

  it("is not as it was made when a plugin says so, unless none is to look", async () => {
    await network.attach(request(), signal);
    plugin(
      "portmap",
      `[ "$CNI_COMMAND" = CHECK ] && { echo '{"code":1,"msg":"no chain"}'; exit 1; }; true`,
    );
    await expect(network.check(A, signal)).rejects.toThrow(/failed at CHECK \(code 1\): no chain/);
    await network.detach(A);
    configure({ disableCheck: "true" });
    plugin("portmap", `[ "$CNI_COMMAND" = ADD ] && echo '${JSON.stringify(RESULT)}'; true`);
    await network.attach(request(), signal);
    calls();
    await network.check(A, signal);
    expect(calls()).toEqual([]);
    await network.detach(A);
  });

  it("may have older plugins, which are not told at the end what they did", async () => {
    configure({ cniVersion: "0.3.1" });
    await network.attach(request(), signal);
    await network.check(A, signal);
    await network.detach(A);
    const all = calls();
    expect(names(all)).toEqual(["bridge ADD", "portmap ADD", "portmap DEL", "bridge DEL"]);
    expect(all[3]?.config).not.toHaveProperty("prevResult");
  });
});

describe("a node's network", () => {
  it("is missing without a configuration or a plugin, and says so", async () => {
    expect(network.obstacle()).toBeUndefined();
    rmSync(path("bin", "portmap"));
    expect(network.obstacle()).toMatch(/"pods" needs the CNI plugin "portmap", which is not in/);
    await expect(network.attach(request(), signal)).rejects.toMatchObject({
      code: "failed-precondition",
    });
    rmSync(path("net.d", "10.conflist"));
    expect(network.obstacle()).toMatch(/no CNI network configuration/);
  });

  it("drops what belongs to nobody", async () => {
    configure({ cniVersion: "1.1.0" });
    await network.attach(request(A), signal);
    await network.attach(request(B), signal);
    writeFileSync(path("netns", "c".repeat(64)), "");
    calls();
    await restarted().collectGarbage(new Set([B]));
    const all = calls();
    expect(names(all)).toEqual(["portmap DEL", "bridge DEL", "bridge GC", "portmap GC"]);
    expect(all[2]?.config["cni.dev/valid-attachments"]).toEqual([
      { containerID: B, ifname: "eth0" },
    ]);
    expect(existsSync(path("netns", "c".repeat(64)))).toBe(false);
  });

  it("gives the cluster's address ranges to plugins that ask, over restarts", async () => {
    configure({ plugins: [{ type: "bridge", capabilities: { ipRanges: true } }] });
    network.setPodCidr("10.1.0.0/24,fd01::/64");
    await restarted().attach(request(), signal);
    expect(calls()[0]?.config["runtimeConfig"]).toEqual({
      ipRanges: [[{ subnet: "10.1.0.0/24" }], [{ subnet: "fd01::/64" }]],
    });
  });
});
