// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { SandboxConfig } from "../../pod/sandbox-record.ts";
import { parseConfig } from "../../shared/config.ts";
import { vmOf } from "./vm-size.ts";

const MIB = 1024 * 1024;
const defaults = parseConfig({}, "defaults").vm;

function sandbox(resources: Partial<SandboxConfig["resources"]>, name = "web"): SandboxConfig {
  return {
    name,
    uid: "u",
    namespace: "default",
    attempt: 0,
    hostname: name,
    logDirectory: "",
    dns: { servers: [], searches: [], options: [] },
    portMappings: [],
    sysctls: {},
    labels: {},
    annotations: {},
    runtimeHandler: "",
    namespaces: { network: "pod", pid: "pod", ipc: "pod" },
    resources: {
      cpuShares: 0,
      cpuQuotaMicroseconds: 0,
      cpuPeriodMicroseconds: 0,
      memoryLimitBytes: 0,
      overheadMemoryBytes: 0,
      ...resources,
    },
  };
}

describe("the VM of a pod", () => {
  it("has the configured size when the pod asks for none", () => {
    expect(vmOf(sandbox({}), defaults)).toEqual({
      name: "default/web",
      vcpus: 1,
      memoryBytes: 64 * MIB,
    });
  });

  it("has room for the containers' limits and for itself, in superpages", () => {
    const memory = (resources: Partial<SandboxConfig["resources"]>) =>
      vmOf(sandbox(resources), defaults).memoryBytes / MIB;
    expect(memory({ memoryLimitBytes: 100 * MIB })).toBe(124);
    expect(memory({ memoryLimitBytes: 100 * MIB + 1 })).toBe(126);
    expect(memory({ memoryLimitBytes: 100 * MIB, overheadMemoryBytes: 10 * MIB })).toBe(110);
  });

  it("has a vCPU for each begun CPU of the limit", () => {
    const vcpus = (quota: number) =>
      vmOf(sandbox({ cpuQuotaMicroseconds: quota, cpuPeriodMicroseconds: 100_000 }), defaults)
        .vcpus;
    expect([vcpus(50_000), vcpus(100_000), vcpus(250_000), vcpus(99_000_000)]).toEqual([
      1, 1, 3, 64,
    ]);
    expect(vcpus(-1)).toBe(defaults.vcpus);
  });

  it("has a name that Xen can hold, whole characters only", () => {
    const { name } = vmOf(sandbox({}, "ü".repeat(40)), defaults);
    expect(name).toBe(`default/${"ü".repeat(28)}`);
  });
});
