// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../src/shared/errors.ts";
import type { Box } from "../box/box.ts";

/** Our own guest kernel and ramdisk under xl, so that only the toolstack differs. */
const CONFIG = `
name = "peer"
type = "pvh"
kernel = "/usr/lib/lightvm/guest/vmlinux-up"
ramdisk = "/run/peer.cpio"
extra = "console=hvc0 quiet acpi=off panic=-1 tsc=reliable"
memory = 64
vcpus = 1
tsc_mode = "native"
on_poweroff = "destroy"
on_reboot = "destroy"
on_crash = "destroy"
`;

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
cat >/run/peer.cfg
xenstored --pid-file=/run/xenstored.pid || /usr/lib/xen-*/bin/oxenstored --pid-file /run/xenstored.pid
/usr/lib/xen-*/bin/xen-init-dom0
xenconsoled --pid-file=/run/xenconsoled.pid
`;

/** Starts what xl cannot do without. Our own pods were measured before, without it. */
export async function prepareXl(box: Box): Promise<void> {
  const { code, stderr } = await box.exec(PREPARE, { input: CONFIG, timeoutMs: 600_000 });
  if (code !== 0) throw new LightvmError("unavailable", `xl cannot run here: ${stderr}`);
}

/** Milliseconds of dom0's clock. */
export interface XlSample {
  /** `xl create -p`: the domain stands, paused. */
  readonly create: number;
  /** From `xl unpause` until the guest, whose init powers off at once, has ended. */
  readonly boot: number;
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
export async function sampleXl(box: Box): Promise<XlSample> {
  const { code, stdout, stderr } = await box.exec(SAMPLE, { timeoutMs: 600_000 });
  const [create, boot] = stdout.trim().split(" ").map(Number);
  if (code !== 0 || create === undefined || boot === undefined) {
    throw new LightvmError("unavailable", `xl create failed: ${stderr}${stdout}`);
  }
  return { create: create / 1e6, boot: boot / 1e6 };
}

/** Creates that many paused guests, tells the time of each in nanoseconds, destroys them. */
const FILL = `
for i in $(seq "$GUESTS"); do
  sed "s/^name = .*/name = \\"peer$i\\"/; s/^memory = .*/memory = 16/" /run/peer.cfg >/run/peer$i.cfg
  a=$(date +%s%N)
  xl create -q -p /run/peer$i.cfg || exit 1
  echo $(($(date +%s%N) - a))
done
for i in $(seq "$GUESTS"); do xl destroy peer$i; rm /run/peer$i.cfg; done
`;

/** Milliseconds of `xl create -p`, guest after guest, while those before it stay. */
export async function fillXl(box: Box, guests: number): Promise<number[]> {
  const options = { timeoutMs: 3_600_000 };
  const { code, stdout, stderr } = await box.exec(`GUESTS=${guests}\n${FILL}`, options);
  if (code !== 0) throw new LightvmError("unavailable", `xl create failed: ${stderr}`);
  return stdout
    .trim()
    .split("\n")
    .map((line) => Number(line) / 1e6);
}

/** Milliseconds of a fork and an exec of `true`, the floor of all that starts anything. */
export async function forkExec(box: Box, times: number): Promise<number[]> {
  // `date` is a fork and an exec as well: one of the two is subtracted.
  const each = "a=$(date +%s%N); b=$(date +%s%N); /bin/true; c=$(date +%s%N)";
  const command = `for i in $(seq ${times}); do ${each}; echo $((c - b - (b - a))); done`;
  const { stdout } = await box.exec(command, { timeoutMs: 600_000 });
  return stdout
    .trim()
    .split("\n")
    .map((line) => Number(line) / 1e6);
}
