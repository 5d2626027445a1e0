// SPDX-License-Identifier: Apache-2.0
// `npm run demo`: boots a real Xen, runs one pod through its life with crictl, shows that it was a VM.
import { readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { describeError, LightvmError } from "../../src/shared/errors.ts";
import { Box } from "../box/box.ts";
import { DOM0_RELEASES, dom0Image } from "../box/dom0.ts";
import { hardwareVirtualization } from "../box/qemu.ts";
import { Crictl } from "../framework/crictl.ts";
import { Daemon } from "../framework/daemon.ts";
import { busyboxImage } from "../framework/oci-image.ts";
import { Registry } from "../framework/registry.ts";
import { dumpDomains, tracesOfPods } from "../framework/traces.ts";
import { showPool } from "./pool.ts";
import { Steps } from "./steps.ts";

const SETTINGS = join(import.meta.dirname, "..", "box", "settings", "config.toml");
const POD = { name: "demo" };
const SCRIPT = 'echo "hello from $(uname -s) $(uname -r), pid $$"; exec sleep 600';

/** XenStore is not even started in the box: whoever asked it would wait for ever. */
const XENSTORE = "pgrep -x 'xenstored|oxenstored' || echo 'no xenstored runs in this dom0'";

async function pushImage(registry: Registry): Promise<string> {
  const { busybox } = await dom0Image(DOM0_RELEASES["4.20"]);
  return await registry.push("busybox", "latest", await busyboxImage(await readFile(busybox)));
}

async function showDomain(box: Box, sandbox: string): Promise<string> {
  const shell = (await box.exec(`readlink /run/lightvm/pods/${sandbox}`)).stdout.trim();
  const own = (await dumpDomains(box)).find(({ handle }) => handle.slice(8) === basename(shell));
  if (own === undefined) throw new LightvmError("not-found", "Xen knows no domain of the pod");
  const memory = `${(own.pages * 4096) / 1024 / 1024} MiB`;
  const { stdout } = await box.exec(`lightvm ps; ${XENSTORE}`);
  return `Xen: domain ${own.domid}, ${memory}, paging: ${own.paging}\n${stdout.trimEnd()}`;
}

async function demo(steps: Steps, box: Box, crictl: Crictl, image: string): Promise<void> {
  const sandbox = await steps.step("crictl runp: a VM is built and boots", () =>
    crictl.runPod(POD),
  );
  const container = { name: "hello", image, command: ["sh", "-c", SCRIPT] };
  const id = await steps.step("crictl create", () => crictl.create(sandbox, container, POD));
  await steps.step("crictl start", () => crictl.must(["start", id]));
  await steps.step("crictl exec: which kernel is this?", async () => {
    const { stdout, stderr, code } = await crictl.exec(id, ["uname", "-a"]);
    if (code !== 0) throw new LightvmError("unavailable", `exec ended with ${code}: ${stderr}`);
    return stdout.trimEnd();
  });
  await steps.step("crictl logs", () => crictl.must(["logs", id]));
  await steps.step("crictl pods", () => crictl.must(["pods"]));
  await steps.step("crictl ps", () => crictl.must(["ps"]));
  await steps.step("The pod is a Xen PVH domain, and XenStore knows nothing of it", () =>
    showDomain(box, sandbox),
  );
  await steps.step("crictl stop", () => crictl.must(["stop", "--timeout", "2", id]));
  await steps.step("crictl stopp, crictl rmp", () => crictl.removePod(sandbox));
}

async function assertNothingLeft(box: Box, before: readonly string[]): Promise<string> {
  const left = (await tracesOfPods(box)).filter((line) => !before.includes(line));
  if (left.length > 0) throw new LightvmError("internal", `left behind: ${left.join(", ")}`);
  return "no domain, process, mount, network device or file";
}

async function main(): Promise<void> {
  const steps = new Steps(21);
  const library = await steps.step("Build (from the cache where nothing changed)", nodeLibrary);
  const how = hardwareVirtualization() ? "KVM" : "emulation, this processor has no svm or vmx";
  await using undo = new AsyncDisposableStack();
  const box = await steps
    .step(`Boot Xen 4.20 and a Debian 13 dom0 in QEMU (${how})`, () =>
      Box.up({ name: "demo", library }),
    )
    .then((up) => undo.adopt(up, async (each) => await each.down()));
  const daemon = new Daemon(box);
  const settings = await readFile(SETTINGS, "utf8");
  await steps.step("Start lightvmd", () => daemon.start({ config: settings }));
  const registry = undo.use(await steps.step("Start a registry", () => Registry.start(box)));
  const image = await steps.step("Push an image to it", () => pushImage(registry));
  const before = await tracesOfPods(box);
  const crictl = new Crictl(box);
  await steps.step("crictl pull", () => crictl.must(["pull", image], 120_000));
  const shown = async () => {
    await demo(steps, box, crictl, image);
    await showPool(steps, daemon, crictl, settings);
  };
  await shown().catch(async (cause) => {
    const log = await daemon.log();
    throw new LightvmError("unavailable", `the demo failed; lightvmd's log ends:\n${log}`, {
      cause,
    });
  });
  await steps.step("Nothing is left behind", () => assertNothingLeft(box, before));
  steps.print();
}

try {
  await main();
} catch (error) {
  console.error(`demo: ${describeError(error)}`);
  process.exitCode = 1;
}
