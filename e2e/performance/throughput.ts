// SPDX-License-Identifier: Apache-2.0
//
// `node e2e/performance/throughput.ts`: how fast a pod's network is, both ways between dom0 and a pod,
// ours beside containerd's veth in the same dom0 and network. In virtual time, as the benchmark: client,
// server and all between them share one CPU that executes an instruction each nanosecond.
import { readFile } from "node:fs/promises";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";
import { DOM0_RELEASES, dom0Image } from "../box/dom0.ts";
import { CONTAINERD_PACKAGES, Containerd } from "../framework/containerd.ts";
import { Crictl } from "../framework/crictl.ts";
import { Daemon } from "../framework/daemon.ts";
import { busyboxImage, type LayerEntry, type OciImage, ociImage } from "../framework/oci-image.ts";
import { Registry } from "../framework/registry.ts";
import { daemonSettings } from "./daemon-settings.ts";
import { upInVirtualTime } from "./virtual-box.ts";

const SECONDS = 5;
/** Real milliseconds that one measurement may take. */
const TIMEOUT_MS = 900_000;
/** Tries to reach the server, a second apart at the most. */
const TRIES = 30;
const PORT = 5201;
const PROGRAM = "/usr/bin/iperf3";

/** Bits a second of TCP payload, as iperf3's receiver counts them. */
export interface Throughput {
  readonly toPod: number;
  readonly fromPod: number;
}

interface Report {
  readonly error?: string;
  readonly end: { sum_received?: { bits_per_second: number } };
}

/** dom0's iperf3 and the libraries that it needs, as an image. */
async function iperfImage(box: Box): Promise<OciImage> {
  const { stdout } = await box.exec(`ldd ${PROGRAM} | grep -o '/[^ ]*'`);
  const files = [PROGRAM, ...stdout.trim().split("\n")];
  const entries = files.map(async (path): Promise<LayerEntry> => {
    const content = (await box.exec(`base64 -w0 ${path}`)).stdout;
    return { name: path.slice(1), mode: 0o755, content: Buffer.from(content, "base64") };
  });
  const folder = (name: string): LayerEntry => ({ name, type: "directory", mode: 0o1777 });
  return ociImage({
    layers: [[folder("tmp/"), ...(await Promise.all(entries))]],
    config: { Cmd: [PROGRAM, "--server", "--port", String(PORT)] },
  });
}

/** Measures one pod of the runtime behind `crictl`. The image is pulled already. */
export async function sampleThroughput(
  box: Box,
  crictl: Crictl,
  image: string,
): Promise<Throughput> {
  const pod = { name: "throughput" };
  const sandbox = await crictl.runPod(pod);
  await crictl.start(sandbox, { name: "iperf", image }, pod);
  const { ip } = (await crictl.podStatus(sandbox)).network;
  const { code } = await box.exec(
    `for try in $(seq ${TRIES}); do busybox nc -w 1 ${ip} ${PORT} </dev/null && exit; done; exit 1`,
  );
  if (code !== 0) throw new LightvmError("unavailable", `no iperf3 answers at ${ip}`);
  const measure = async (...more: string[]) => {
    const command = [PROGRAM, "--json", "--client", ip, "--port", String(PORT)];
    const words = [...command, "--time", String(SECONDS), ...more];
    const { stdout } = await box.exec(words.join(" "), { timeoutMs: TIMEOUT_MS });
    const report = JSON.parse(stdout) as Report;
    const bits = report.end.sum_received?.bits_per_second;
    if (bits === undefined) throw new LightvmError("unavailable", `iperf3: ${report.error}`);
    return bits;
  };
  const sample = { toPod: await measure(), fromPod: await measure("--reverse") };
  await crictl.removePod(sandbox);
  return sample;
}

async function main(): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const library = await nodeLibrary();
  const packages = [...CONTAINERD_PACKAGES, "iperf3"];
  const { busybox } = await dom0Image(DOM0_RELEASES["4.20"], packages);
  const booted = await upInVirtualTime({ name: "throughput", library, packages });
  const box = undo.adopt(booted, (it) => it.down());
  const registry = undo.use(await Registry.start(box));
  const image = await registry.push("iperf", "latest", await iperfImage(box));
  const daemon = new Daemon(box);
  await daemon.start({ config: daemonSettings(undefined, "bridge"), timeoutMs: 600_000 });
  const ours = new Crictl(box);
  await ours.must(["pull", image], TIMEOUT_MS);
  const lightvm = await sampleThroughput(box, ours, image);
  await daemon.end();
  console.log(`lightvm: ${JSON.stringify(row(lightvm))}`);
  const pause = await busyboxImage(await readFile(busybox), {
    config: { Env: ["PATH=/bin"], Cmd: ["sleep", "86400"] },
  });
  await registry.push("pause", "3.10", pause);
  const mirrors = { "registry.k8s.io": `http://${registry.host}` };
  const networkDirectory = "/etc/cni/net.d";
  undo.use(await Containerd.start(box, { mirrors, networkDirectory }));
  const theirs = new Crictl(box, Containerd.endpoint);
  await theirs.must(["pull", image], TIMEOUT_MS);
  const containerd = await sampleThroughput(box, theirs, image);
  console.log(`containerd: ${JSON.stringify(row(containerd))}`);
}

function row({ fromPod, toPod }: Throughput) {
  return {
    "to the pod, Mbit/s": Math.round(toPod / 1e6),
    "from the pod, Mbit/s": Math.round(fromPod / 1e6),
  };
}

if (import.meta.main) await main();
