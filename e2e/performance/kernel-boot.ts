// SPDX-License-Identifier: Apache-2.0
//
// `node e2e/performance/kernel-boot.ts`: what each part of the guest kernel costs at boot, initcall by
// initcall, in virtual time. native/driver/KERNEL.md has what was seen last.
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { guestKernel } from "../../native/build/kernel.ts";
import { nodeLibrary } from "../../native/build/node-library.ts";
import { LightvmError } from "../../src/shared/errors.ts";
import { Crictl } from "../framework/crictl.ts";
import { Daemon } from "../framework/daemon.ts";
import { Registry } from "../framework/registry.ts";
import { daemonSettings } from "./daemon-settings.ts";
import { pushImages } from "./images.ts";
import { upInVirtualTime } from "./virtual-box.ts";

/** dom0 shares the one CPU, and interrupts a boot here and there: the least of several is the kernel's. */
const BOOTS = 5;
/** Initcalls that take less, in µs, are only summed up. */
const WORTH_A_LINE = 20;
const TIMEOUT_MS = 900_000;
/** The kernel tells of each initcall, and keeps all that it tells. */
const ARGUMENTS = "initcall_debug log_buf_len=512K printk.time=1";
const PRIVILEGED = { security_context: { privileged: true } };

/** Names of a System.map by their addresses, 16 hexadecimal digits. */
function symbolsOf(systemMap: string): Map<string, string> {
  const rows = systemMap.split("\n").map((line) => line.split(" "));
  return new Map(rows.map(([address = "", , name = ""]): [string, string] => [address, name]));
}

/** Microseconds of each initcall of one boot. The kernel has no names of its own functions. */
function initcallsOf(log: string, symbols: ReadonlyMap<string, string>): Map<string, number> {
  const lines = log.matchAll(/initcall 0x([0-9a-f]{16}) returned .* after (\d+) usecs/g);
  return new Map(
    [...lines].map(([, address = "", microseconds]) => [
      symbols.get(address) ?? address,
      Number(microseconds),
    ]),
  );
}

/** The kernel logs of pods that were booted one after the other. */
async function kernelLogs(): Promise<string[]> {
  await using undo = new AsyncDisposableStack();
  const booted = await upInVirtualTime({ name: "kernel", library: await nodeLibrary() });
  const box = undo.adopt(booted, (it) => it.down());
  const registry = undo.use(await Registry.start(box));
  const { image } = (await pushImages(registry)).busybox;
  const config = daemonSettings(undefined, "bridge", ARGUMENTS);
  await new Daemon(box).start({ config, timeoutMs: TIMEOUT_MS });
  const crictl = new Crictl(box);
  await crictl.must(["pull", image], TIMEOUT_MS);
  const logs: string[] = [];
  for (let boot = 0; boot < BOOTS; boot += 1) {
    const pod = { name: `kernel-${boot}` };
    const sandbox = await crictl.runPod(pod);
    const container = { name: "log", image, command: ["sleep", "1000"], linux: PRIVILEGED };
    const id = await crictl.start(sandbox, container, pod);
    const { code, stderr, stdout } = await crictl.exec(id, ["busybox", "dmesg"]);
    if (code !== 0) throw new LightvmError("unavailable", `no kernel log: ${stderr}`);
    logs.push(stdout);
    await crictl.removePod(sandbox);
  }
  return logs;
}

async function main(): Promise<void> {
  const logs = await kernelLogs();
  const map = join(dirname(await guestKernel("up")), "System.map");
  const symbols = symbolsOf(await readFile(map, "utf8"));
  const boots = logs.map((log) => initcallsOf(log, symbols));
  const least = [...(boots[0]?.keys() ?? [])].map((name) => ({
    name,
    microseconds: Math.min(...boots.map((boot) => boot.get(name) ?? Number.POSITIVE_INFINITY)),
  }));
  const long = least.filter(({ microseconds }) => microseconds >= WORTH_A_LINE);
  const row = (what: string, calls: typeof least) => {
    const sum = calls.reduce((all, { microseconds }) => all + microseconds, 0);
    console.log(`| ${what} | ${(sum / 1000).toFixed(2)} |`);
  };
  for (const call of long.toSorted((a, b) => b.microseconds - a.microseconds)) {
    row(`\`${call.name}\``, [call]);
  }
  const short = least.filter((call) => !long.includes(call));
  row(`${short.length} others`, short);
  row(`all ${least.length}`, least);
}

if (import.meta.main) await main();
