// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { FakeHypervisor } from "../../../test/harness/fake-hypervisor.ts";
import { parseConfig } from "../../shared/config.ts";
import { nodePaths } from "../../shared/paths.ts";
import type { Host } from "./check.ts";
import { diagnose, formatReport } from "./doctor.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "lightvm-doctor-"));
});
afterEach(() => {
  rmSync(root, { recursive: true });
});

function put(path: string, text = ""): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

/** A host on which everything is as it must be; each test breaks one thing. */
function healthyHost(): Host {
  const config = parseConfig({ library_directory: join(root, "lib") }, "test");
  put("/sys/hypervisor/type", "xen\n");
  put("/sys/hypervisor/version/major", "4\n");
  put("/sys/hypervisor/version/minor", "20\n");
  put("/sys/hypervisor/version/extra", ".3\n");
  put("/proc/xen/capabilities", "control_d\n");
  for (const device of ["privcmd", "hypercall", "evtchn"]) put(`/dev/xen/${device}`);
  put("/sys/fs/cgroup/cgroup.controllers");
  put("/etc/cni/net.d/10-bridge.conflist");
  const files = ["bin/lightvm-vmm", "guest/vmlinux-up", "guest/vmlinux-smp"];
  for (const file of [...files, "guest/initramfs.cpio"]) put(`/lib/${file}`);
  return {
    config,
    paths: nodePaths(config),
    root,
    uid: 0,
    hypervisor: new FakeHypervisor(join(root, "domains")),
    run: async () => "mkfs.erofs (erofs-utils) 1.8.6\n",
  };
}

async function verdicts(host: Host): Promise<Record<string, string>> {
  const report = await diagnose(host);
  const bad = report.filter(({ verdict }) => verdict !== "ok");
  return Object.fromEntries(bad.map(({ name, verdict }) => [name, verdict]));
}

describe("doctor", () => {
  it("finds nothing to say about a host that can run pods", async () => {
    const report = await diagnose(healthyHost());
    expect(report.filter(({ verdict }) => verdict !== "ok")).toEqual([]);
    expect(formatReport(report)).toMatch(/Xen version +4\.20\.3/);
    expect(formatReport(report)).toMatch(/This host can run pods\.$/);
  });

  it("tells a machine without Xen what to install, and goes on", async () => {
    const host = healthyHost();
    rmSync(join(root, "sys/hypervisor"), { recursive: true });
    rmSync(join(root, "proc/xen"), { recursive: true });
    rmSync(join(root, "dev/xen"), { recursive: true });
    const report = await diagnose({ ...host, hypervisor: new Error("no addon") });
    const text = formatReport(report);
    expect(text).toContain("apt install xen-system-amd64");
    expect(text).toMatch(/ok +mkfs\.erofs/);
    expect(text).toMatch(/cannot run pods yet: 8 of 16 items fail\.$/);
  });

  it("knows which releases of Xen it can serve", async () => {
    const host = healthyHost();
    put("/sys/hypervisor/version/minor", "16");
    expect(await verdicts(host)).toEqual({ "Xen version": "fail" });
    put("/sys/hypervisor/version/minor", "17");
    expect(await verdicts(host)).toEqual({});
    put("/sys/hypervisor/version/minor", "22");
    expect(await verdicts(host)).toEqual({ "Xen version": "warn" });
  });

  it("tells an ordinary guest from dom0", async () => {
    const host = healthyHost();
    put("/proc/xen/capabilities", "");
    expect(await verdicts(host)).toEqual({ dom0: "fail" });
  });

  it("warns of a scheduler that does not heed what pods ask for", async () => {
    const hypervisor = new FakeHypervisor(join(root, "domains"));
    hypervisor.canCap = false;
    const host = { ...healthyHost(), hypervisor };
    expect(await verdicts(host)).toEqual({ "Xen scheduler": "warn" });
  });

  it("misses hardware-assisted paging and memory", async () => {
    const host = healthyHost();
    const hypervisor = new FakeHypervisor(join(root, "domains"));
    const info = { ...hypervisor.info(), hap: false, freeMemoryBytes: 40n * 1024n * 1024n };
    hypervisor.info = () => info;
    expect(await verdicts({ ...host, hypervisor })).toEqual({
      "hardware virtualization": "fail",
      "free Xen memory": "fail",
    });
  });

  it.each([
    ["1.5", "fail"],
    ["1.8.7", "fail"],
    ["1.8", undefined],
    ["2.0", undefined],
  ])("mkfs.erofs %s", async (version, verdict) => {
    const host = { ...healthyHost(), run: async () => `mkfs.erofs ${version}\n` };
    expect((await verdicts(host))["mkfs.erofs"]).toBe(verdict);
  });

  it("only warns of a missing network", async () => {
    const host = healthyHost();
    rmSync(join(root, "etc"), { recursive: true });
    expect(await verdicts(host)).toEqual({ CNI: "warn" });
  });

  it("names each file that is not there", async () => {
    const host = healthyHost();
    rmSync(join(root, "lib/guest"), { recursive: true });
    const report = await diagnose(host);
    const details = report.filter(({ verdict }) => verdict === "fail").map((item) => item.detail);
    expect(details).toHaveLength(3);
    expect(details[0]).toContain("vmlinux-up");
  });
});
