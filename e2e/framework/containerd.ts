// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";

/** Debian packages of a dom0 that runs containerd and runc, with CNI and AppArmor as on a node. */
export const CONTAINERD_PACKAGES: readonly string[] = [
  ...["containerd", "runc", "containernetworking-plugins", "iptables"],
  ...["apparmor", "sudo"],
];

const DIRECTORY = "/run/peer";
const LOG = `${DIRECTORY}/containerd.log`;
const PID = `${DIRECTORY}/containerd.pid`;
const SOCKET = "/run/containerd/containerd.sock";

/** The snapshotter wants a disk: an overlay cannot lie upon dom0's own. */
const config = (networkDirectory: string) => `
version = 2
root = "/var/lib/lightvm/containerd"
state = "/run/containerd"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "registry.k8s.io/pause:3.10"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "${networkDirectory}"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "${DIRECTORY}/certs.d"
`;

const NETWORK = JSON.stringify({
  cniVersion: "1.0.0",
  name: "peer",
  plugins: [
    {
      type: "bridge",
      bridge: "peer0",
      isGateway: true,
      ipMasq: true,
      hairpinMode: true,
      ipam: {
        type: "host-local",
        ranges: [[{ subnet: "10.89.0.0/16" }]],
        routes: [{ dst: "0.0.0.0/0" }],
        dataDir: `${DIRECTORY}/leases`,
      },
    },
    { type: "portmap", capabilities: { portMappings: true } },
  ],
});

/** Writes a hosts.toml a registry host, which both containerd and lightvmd read. */
export async function writeHostsFiles(
  box: Box,
  directory: string,
  mirrors: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [host, url] of Object.entries(mirrors)) {
    const file = `${directory}/${host}/hosts.toml`;
    const input = `[host."${url}"]\n  capabilities = ["pull", "resolve"]\n`;
    await box.exec(`mkdir -p $(dirname ${file}) && cat >${file}`, { input });
  }
}

export interface ContainerdOptions {
  /** Registry host, as in image references → base URL of the mirror that is asked instead. */
  readonly mirrors?: Readonly<Record<string, string>>;
  /** Where its CNI configuration is; absent = a bridge of its own. */
  readonly networkDirectory?: string;
}

/** Debian's containerd and runc in the same dom0: what our figures and results stand beside. */
export class Containerd implements AsyncDisposable {
  /** What crictl and critest call --runtime-endpoint. */
  static readonly endpoint = `unix://${SOCKET}`;
  readonly #box: Box;

  private constructor(box: Box) {
    this.#box = box;
  }

  /** Starts it in a box with `CONTAINERD_PACKAGES`, and waits until it serves. */
  static async start(box: Box, options: ContainerdOptions = {}): Promise<Containerd> {
    const { mirrors = {}, networkDirectory = `${DIRECTORY}/net.d` } = options;
    const write = async (file: string, input: string) =>
      await box.exec(`mkdir -p $(dirname ${file}) && cat >${file}`, { input });
    await write(`${DIRECTORY}/containerd.toml`, config(networkDirectory));
    await write(`${DIRECTORY}/net.d/10-peer.conflist`, NETWORK);
    await writeHostsFiles(box, `${DIRECTORY}/certs.d`, mirrors);
    const { code } = await box.exec(
      [
        `setsid containerd --config ${DIRECTORY}/containerd.toml </dev/null >${LOG} 2>&1 &`,
        `echo $! >${PID}`,
        // Ends with the log line, or with the process.
        `timeout 90 tail --pid=$! -n +1 -f ${LOG} | grep -q -m 1 'containerd successfully booted'`,
      ].join("\n"),
      { timeoutMs: 100_000 },
    );
    const peer = new Containerd(box);
    if (code === 0) return peer;
    throw new LightvmError("unavailable", `containerd did not start:\n${await peer.log()}`);
  }

  /** "containerd 1.7.24, runc 1.1.15" */
  async version(): Promise<string> {
    const { stdout } = await this.#box.exec("containerd --version; runc --version");
    const [, containerd = "?"] = /^containerd \S+ v?(\d[\d.]*)/m.exec(stdout) ?? [];
    const [, runc = "?"] = /^runc version (\d[\d.]*)/m.exec(stdout) ?? [];
    return `containerd ${containerd}, runc ${runc}`;
  }

  /** The end of what it has logged. */
  async log(lines = 60): Promise<string> {
    return (await this.#box.exec(`tail -n ${lines} ${LOG}`)).stdout;
  }

  /** Ends the daemon. Shims of pods that still run go on, as they do on a node. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { code, stderr } = await this.#box.exec(
      `pid=$(cat ${PID}) && kill $pid && timeout 30 tail --pid=$pid -f /dev/null`,
    );
    if (code !== 0) throw new LightvmError("deadline-exceeded", `containerd lives on: ${stderr}`);
  }
}
