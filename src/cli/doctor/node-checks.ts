// SPDX-License-Identifier: Apache-2.0
import { accessSync, constants, readdirSync } from "node:fs";
import { join } from "node:path";
import { describeError } from "../../shared/errors.ts";
import { type Check, fail, ok, warn } from "./check.ts";

const BUILD = "build and install the native parts (CONTRIBUTING.md)";
/** erofs-utils that can make an image from a tar stream, as we do. */
const OLDEST_EROFS = [1, 8] as const;
/** Releases that lose AUFS whiteouts. */
const BROKEN_EROFS = ["1.8.7", "1.8.8"];

const root: Check = {
  name: "root",
  look: ({ uid }) =>
    uid === 0 ? ok("running as root") : fail(`running as uid ${uid}`, "run as root"),
};

const addon: Check = {
  name: "native addon",
  look: ({ hypervisor, paths }) =>
    hypervisor instanceof Error ? fail(describeError(hypervisor), BUILD) : ok(paths.addon),
};

function file(name: string, path: (paths: Parameters<Check["look"]>[0]["paths"]) => string): Check {
  return {
    name,
    look({ paths }) {
      const where = path(paths);
      try {
        accessSync(where, constants.R_OK);
        return ok(where);
      } catch {
        // Whatever the reason, it cannot be used.
        return fail(`${where} cannot be read`, BUILD);
      }
    },
  };
}

const erofs: Check = {
  name: "mkfs.erofs",
  async look({ run }) {
    const remedy = `install erofs-utils ${OLDEST_EROFS.join(".")} or later`;
    let output: string;
    try {
      output = await run("mkfs.erofs", ["--version"]);
    } catch {
      // Not installed, or not runnable.
      return fail("cannot be run", remedy);
    }
    const found = /(\d+)\.(\d+)(?:\.\d+)?/.exec(output);
    if (found === null) return warn(`unknown version: ${output.trim()}`, remedy);
    const [release, major, minor] = found;
    const enough = Number(major) - OLDEST_EROFS[0] || Number(minor) - OLDEST_EROFS[1];
    if (enough < 0) return fail(`${release} cannot pack a tar stream`, remedy);
    if (BROKEN_EROFS.includes(release)) return fail(`${release} loses whiteouts`, remedy);
    return ok(release);
  },
};

const cgroups: Check = {
  name: "cgroups",
  look({ root: prefix }) {
    try {
      accessSync(join(prefix, "/sys/fs/cgroup/cgroup.controllers"));
      return ok("version 2");
    } catch {
      // Kubelet needs them on the node; pods have their own inside their VMs.
      return warn("no cgroup v2 hierarchy", "boot with systemd.unified_cgroup_hierarchy=1");
    }
  },
};

const cni: Check = {
  name: "CNI",
  look({ root: prefix, config }) {
    const directory = config.network.cni_config_directory;
    try {
      const files = readdirSync(join(prefix, directory));
      const networks = files.filter((name) => /\.(conf|conflist|json)$/.test(name));
      if (networks.length > 0) return ok(`${directory}: ${networks.join(", ")}`);
    } catch {
      // No directory is as good as an empty one.
    }
    return warn(
      `no network in ${directory}`,
      "no pod can start until a CNI network is configured there",
    );
  },
};

/** What the node must hold besides Xen. */
export const NODE_CHECKS: readonly Check[] = [
  root,
  addon,
  file("VMM binary", (paths) => paths.vmmBinary),
  file("guest kernel, one vCPU", (paths) => paths.kernelUp),
  file("guest kernel, several vCPUs", (paths) => paths.kernelSmp),
  file("guest initramfs", (paths) => paths.initramfs),
  erofs,
  cgroups,
  cni,
];
