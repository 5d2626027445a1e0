// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, readFileSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "../../shared/errors.ts";
import { xenMemoryOf } from "../../toolstack/admission.ts";
import type { Hypervisor } from "../../toolstack/hypervisor.ts";
import { type Check, type Finding, fail, type Host, ok, warn } from "./check.ts";

const MIB = 1024 * 1024;
/** Releases whose hypercall interface the VMM knows (domctl 0x15 to 0x17). */
const OLDEST: Release = [4, 17];
const NEWEST: Release = [4, 20];
const INSTALL_XEN =
  "install Xen and boot it: on Debian `apt install xen-system-amd64`, then restart";
const DEVICES = ["/dev/xen/privcmd", "/dev/xen/hypercall", "/dev/xen/evtchn"];

type Release = readonly [major: number, minor: number];

function read(host: Host, path: string): string | undefined {
  try {
    return readFileSync(join(host.root, path), "utf8").trim();
  } catch {
    // Not there is an answer too.
    return undefined;
  }
}

const presence: Check = {
  name: "Xen",
  look(host) {
    const type = read(host, "/sys/hypervisor/type");
    if (type === "xen") return ok("this system runs on Xen");
    if (type === undefined) return fail("no hypervisor below this system", INSTALL_XEN);
    return fail(`the hypervisor below this system is ${type}`, INSTALL_XEN);
  },
};

const version: Check = {
  name: "Xen version",
  look(host) {
    const major = Number(read(host, "/sys/hypervisor/version/major"));
    const minor = Number(read(host, "/sys/hypervisor/version/minor"));
    const found = `${major}.${minor}${read(host, "/sys/hypervisor/version/extra") ?? ""}`;
    const range = `${OLDEST.join(".")} to ${NEWEST.join(".")}`;
    if (Number.isNaN(major) || Number.isNaN(minor)) {
      return fail("unknown, without Xen", `use Xen ${range}`);
    }
    if (compare([major, minor], OLDEST) < 0) return fail(found, `use Xen ${range}`);
    if (compare([major, minor], NEWEST) > 0) {
      return warn(`${found}, newer than what was tried`, `report how it goes, or use ${range}`);
    }
    return ok(found);
  },
};

function compare(a: Release, b: Release): number {
  return a[0] - b[0] || a[1] - b[1];
}

const control: Check = {
  name: "dom0",
  look(host) {
    const capabilities = read(host, "/proc/xen/capabilities");
    if (capabilities === undefined) {
      return fail("xenfs is not mounted", "mount -t xenfs xenfs /proc/xen");
    }
    if (capabilities.includes("control_d")) return ok("this system controls the others");
    return fail("this system is an ordinary guest", "run lightvmd in dom0");
  },
};

const devices: Check = {
  name: "Xen devices",
  look(host) {
    for (const device of DEVICES) {
      try {
        accessSync(join(host.root, device), constants.R_OK | constants.W_OK);
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        return fail(
          `${device}: ${code === "ENOENT" ? "not there" : "no access"}`,
          code === "ENOENT" ? "modprobe xen-privcmd xen-evtchn" : "run as root",
        );
      }
    }
    return ok(DEVICES.join(", "));
  },
};

/** A check that asks the hypervisor itself. */
function askXen(name: string, look: (hypervisor: Hypervisor, host: Host) => Finding): Check {
  return {
    name,
    look(host) {
      if (host.hypervisor instanceof Error) {
        return fail("cannot ask Xen", describeError(host.hypervisor));
      }
      try {
        return look(host.hypervisor, host);
      } catch (error) {
        return fail("cannot ask Xen", describeError(error));
      }
    },
  };
}

const hvm = askXen("hardware virtualization", (hypervisor) => {
  const info = hypervisor.info();
  const remedy = "switch on VT-x or AMD-V (SVM) in the firmware; do not boot Xen with hap=0";
  if (!info.hvm) return fail(`Xen can run no hardware VMs (${info.capabilities})`, remedy);
  if (!info.hap) return fail("Xen has no hardware-assisted paging (HAP)", remedy);
  return ok("HVM with HAP");
});

const scheduler = askXen("Xen scheduler", (hypervisor) => {
  if (hypervisor.capsCpu()) return ok("shares CPUs out by weight");
  return warn(
    "knows neither weights nor caps: what pods ask of CPUs is not heeded between them",
    "boot Xen without sched=… on its command line; credit2 is its default",
  );
});

const memory = askXen("free Xen memory", (hypervisor, { config }) => {
  const free = Number(hypervisor.info().freeMemoryBytes);
  const { vcpus, memory_mib, reserved_memory_mib } = config.vm;
  const pod = xenMemoryOf({ vcpus, memoryBytes: memory_mib * MIB });
  const pods = Math.max(0, Math.floor((free - reserved_memory_mib * MIB) / pod));
  const detail = `${Math.floor(free / MIB)} MiB, room for ${pods} pods of ${memory_mib} MiB`;
  if (pods > 0) return ok(detail);
  return fail(detail, "give dom0 less memory: dom0_mem=…,max:… on Xen's command line");
});

/** Xen and our rights on it, in the order in which one depends on the other. */
export const XEN_CHECKS: readonly Check[] = [
  presence,
  version,
  control,
  devices,
  hvm,
  scheduler,
  memory,
];
