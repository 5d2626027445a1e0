// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import type { Dom0Image } from "./dom0.ts";

/** What one box is made of. Memory in MiB. */
export interface Machine {
  /** The words that start QEMU. */
  readonly emulator: readonly string[];
  readonly image: Dom0Image;
  /** EROFS images: crictl, Node and the like; and the project itself. */
  readonly tools: string;
  readonly project: string;
  /** ext4 image, writable: /var/lib/lightvm. */
  readonly data: string;
  readonly memoryMib: number;
  readonly dom0MemoryMib: number;
  /** UNIX socket on which somebody waits for dom0's "ready". */
  readonly readySocket: string;
  readonly consoleLog: string;
  readonly pidFile: string;
  /**
   * Count instructions: one is one nanosecond of the machine's clock, so that figures do not depend
   * on the host's load. Slower, one CPU, for measurements only.
   */
  readonly virtualTime: boolean;
}

/** True when this processor can run Xen natively: an openable /dev/kvm alone proves nothing. */
export function hardwareVirtualization(): boolean {
  return /\b(svm|vmx)\b/.test(readFileSync("/proc/cpuinfo", "utf8"));
}

/** QEMU takes a comma as the end of a value; a doubled one is a comma. */
function escaped(value: string): string {
  return value.replaceAll(",", ",,");
}

/**
 * Everything that emulation knows, but for two things. SMAP: QEMU 7.2's IRET reads the stack as
 * supervisor, which it forbids; dom0 would crash. XSAVE: its sizes come out as 0 in a PV dom0, so
 * Linux gives it up and saves no AVX registers, while programs see AVX and lose them.
 */
const EMULATED_CPU = "max,-smap,-xsave,-avx,-avx2";

function processor({ virtualTime }: Machine): string[] {
  if (virtualTime) {
    return [
      ...["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off"],
      ...["-cpu", EMULATED_CPU, "-smp", "1"],
    ];
  }
  if (hardwareVirtualization()) return ["-accel", "kvm", "-cpu", "host", "-smp", "2"];
  return ["-accel", "tcg,thread=multi", "-cpu", EMULATED_CPU, "-smp", "2"];
}

function disk(id: string, file: string, readOnly: boolean): string[] {
  const flags = readOnly ? ",readonly=on" : ",discard=unmap";
  return [
    ...["-drive", `if=none,id=${id},format=raw,file=${escaped(file)}${flags}`],
    // A PV dom0 does DMA by addresses of its own: virtio must use the IOMMU interface.
    ...["-device", `virtio-blk-pci,drive=${id},iommu_platform=on,disable-legacy=on`],
  ];
}

/** QEMU with its arguments for a machine. */
export function qemuCommand(machine: Machine): string[] {
  const { emulator, image, dom0MemoryMib } = machine;
  const xen = [
    `dom0_mem=${dom0MemoryMib}M,max:${dom0MemoryMib}M`,
    ...["console=com1", "com1=115200", "loglvl=warning", "guest_loglvl=warning"],
    // QEMU's memory is zeroed; scrubbing it would make the host find a page for each of the guest's.
    ...["noreboot", "watchdog=0", "bootscrub=0"],
  ];
  const linux = ["console=hvc0", "quiet", "net.ifnames=0", "panic=-1", "mitigations=off"];
  return [
    ...emulator,
    ...["-name", "lightvm-box", "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot"],
    ...processor(machine),
    ...["-m", String(machine.memoryMib)],
    ...["-kernel", image.xen, "-append", xen.join(" ")],
    ...["-initrd", `${image.kernel} ${escaped(linux.join(" "))},${image.initramfs}`],
    ...["-serial", `file:${machine.consoleLog}`, "-pidfile", machine.pidFile],
    ...disk("root", image.root, true),
    ...disk("tools", machine.tools, true),
    ...disk("project", machine.project, true),
    ...disk("data", machine.data, false),
    // To dom0's SSH server, from a port that the kernel chooses: one chosen here may be taken by then.
    ...["-netdev", "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:0-:22"],
    ...["-device", "virtio-net-pci,netdev=net,iommu_platform=on,disable-legacy=on,romfile="],
    ...["-device", "virtio-serial-pci,iommu_platform=on,disable-legacy=on"],
    ...["-chardev", `socket,id=ready,path=${escaped(machine.readySocket)}`],
    ...["-device", "virtserialport,chardev=ready,name=box.ready"],
  ];
}
