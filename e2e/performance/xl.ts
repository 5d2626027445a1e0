// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";
import { WARM_UP } from "./ours.ts";
import { repeat, say } from "./progress.ts";
import { type Share, sharesOfTrace } from "./report/syscall-trace.ts";

/**
 * Two guests as our own have them, so that only the toolstack differs: our Linux with 64 MiB, and the
 * noop unikernel, which knows nothing of XenStore and is created only.
 */
const COMMON = `
type = "pvh"
vcpus = 1
tsc_mode = "native"
on_poweroff = "destroy"
on_reboot = "destroy"
on_crash = "destroy"
`;
const TINYX = `
name = "peer"
kernel = "/usr/lib/lightvm/guest/vmlinux-up"
ramdisk = "/run/peer.cpio"
extra = "console=hvc0 quiet acpi=off panic=-1 tsc=reliable"
memory = 64
${COMMON}`;
const NOOP = `
name = "NAME"
kernel = "/usr/lib/lightvm/guest/noop"
memory = 4
${COMMON}`;

/**
 * A guest whose init powers off at once: its end is what dom0 can see of "init has run". Cut out of
 * the root file system of dom0, which has a static busybox.
 */
const PREPARE = `
set -e
mkdir -p /run/peer/bin /run/xen /var/run/xen /var/lib/xen /var/log/xen
cp /usr/bin/busybox /run/peer/bin/busybox
printf '#!/bin/busybox sh\\n/bin/busybox poweroff -f\\n' >/run/peer/init
chmod +x /run/peer/init
(cd /run/peer && find . | busybox cpio -o -H newc >/run/peer.cpio 2>/dev/null)
xenstored --pid-file=/run/xenstored.pid || /usr/lib/xen-*/bin/oxenstored --pid-file /run/xenstored.pid
/usr/lib/xen-*/bin/xen-init-dom0
xenconsoled --pid-file=/run/xenconsoled.pid
`;

/** Milliseconds of dom0's clock. */
export interface XlSample {
  /** `xl create -p`: the domain stands, paused. */
  readonly create: number;
  /** From `xl unpause` until the guest, whose init powers off at once, has ended. */
  readonly boot: number;
}

/** What was seen of xl. */
export interface XlMeasurements {
  readonly tinyx: readonly XlSample[];
  /** `xl create -p` of noop, guest after guest, while those before it stay. */
  readonly crowd: readonly number[];
  /** A Linux guest beside that crowd. */
  readonly besideCrowd: XlSample;
  /** Bytes of Xen's and of dom0's memory that the crowd took. */
  readonly crowdBytes: { readonly xen: number; readonly dom0: number };
  /** Where the time of one create of the Linux guest goes. */
  readonly shares: readonly Share[];
}

/** Measures xl, with the daemons that it needs. Ours were measured before, without them. */
export async function measureXl(
  box: Box,
  { peerCrowd, samples }: { peerCrowd: number; samples: number },
): Promise<XlMeasurements> {
  await must(box, PREPARE);
  await must(box, "cat >/run/peer.cfg", TINYX);
  await must(box, "cat >/run/noop.cfg", NOOP);
  const tinyx = await repeat("xl", WARM_UP + samples, () => sampleXl(box));
  const shares = await traceXl(box);
  say(`${peerCrowd} guests of xl side by side`);
  const free = await memory(box);
  const crowd = await fillXl(box, peerCrowd);
  const left = await memory(box);
  const besideCrowd = await sampleXl(box);
  await must(box, `for i in $(seq ${peerCrowd}); do xl destroy peer$i; done`);
  const crowdBytes = { xen: free.xen - left.xen, dom0: free.dom0 - left.dom0 };
  return { tinyx: tinyx.slice(WARM_UP), shares, crowd, besideCrowd, crowdBytes };
}

/** Takes the times inside dom0, so that ssh is not in them. */
const SAMPLE = `
now() { date +%s%N; }
a=$(now)
xl create -q -p /run/peer.cfg || exit 1
b=$(now)
xenstore-watch -n 2 @releaseDomain >/dev/null & watch=$!
c=$(now)
xl unpause peer
wait $watch
d=$(now)
timeout 120 sh -c 'while xl domid peer >/dev/null 2>&1; do :; done'
echo $((b - a)) $((d - c))
`;

/** Creates, boots and loses one guest with xl. */
async function sampleXl(box: Box): Promise<XlSample> {
  const [create, boot] = (await must(box, SAMPLE)).trim().split(" ").map(Number);
  if (create === undefined || boot === undefined) throw new Error("xl's times are missing");
  return { create: create / 1e6, boot: boot / 1e6 };
}

/** Creates that many paused guests, tells the time of each in nanoseconds. */
async function fillXl(box: Box, guests: number): Promise<number[]> {
  const lines = await must(
    box,
    `for i in $(seq ${guests}); do
      sed "s/NAME/peer$i/" /run/noop.cfg >/run/peer$i.cfg
      a=$(date +%s%N)
      xl create -q -p /run/peer$i.cfg || exit 1
      echo $(($(date +%s%N) - a))
    done`,
  );
  return lines
    .trim()
    .split("\n")
    .map((line) => Number(line) / 1e6);
}

/** Has dom0's kernel note each system call of one create: its times, not those of a debugger. */
const TRACE = `
set -e
trace=/sys/kernel/tracing
mountpoint -q $trace || mount -t tracefs tracefs $trace
echo 0 >$trace/tracing_on
echo 16384 >$trace/buffer_size_kb
echo >$trace/trace
echo 1 >$trace/events/raw_syscalls/enable
sh -c "echo \\$\\$ >$trace/set_event_pid; echo 1 >$trace/tracing_on; exec xl create -q -p /run/peer.cfg"
echo 0 >$trace/tracing_on
cat $trace/trace
echo 0 >$trace/events/raw_syscalls/enable
echo >$trace/set_event_pid
xl destroy peer
`;

async function traceXl(box: Box): Promise<Share[]> {
  return sharesOfTrace(await must(box, TRACE));
}

async function memory(box: Box): Promise<{ xen: number; dom0: number }> {
  const command = `xl info | sed -n 's/^free_memory *: //p'; sed -n 's/^MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo`;
  const [xen = 0, dom0 = 0] = (await must(box, command)).trim().split("\n").map(Number);
  return { xen: xen * 2 ** 20, dom0: dom0 * 1024 };
}

async function must(box: Box, command: string, input = ""): Promise<string> {
  const { code, stdout, stderr } = await box.exec(command, { input, timeoutMs: 3_600_000 });
  if (code === 0) return stdout;
  throw new LightvmError("unavailable", `xl does not work here: ${stderr}`);
}
