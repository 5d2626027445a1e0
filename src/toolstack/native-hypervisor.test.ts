// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { NativeAddon } from "../shared/native-addon.ts";
import { NativeHypervisor } from "./native-hypervisor.ts";

const domain: ReturnType<NativeAddon["listDomains"]>[number] = {
  domid: 3,
  uuid: "0".repeat(32),
  paused: false,
  dying: false,
  shutdown: false,
  shutdownReason: -1,
  memoryBytes: 1n,
  vcpus: 1,
  cpuNanoseconds: 1n,
};

type Addon = ConstructorParameters<typeof NativeHypervisor>[0];

function addon(overrides: Partial<Addon>): Addon {
  const refuse = () => {
    throw new Error("EPERM");
  };
  return {
    hostInfo: refuse,
    listDomains: () => [domain],
    domainUsages: () => new BigUint64Array([0n, 7n, 4096n, 3n, 8n, 8192n]),
    domainsState: refuse,
    unpauseDomain: refuse,
    pauseDomain: refuse,
    limitMemory: refuse,
    capsCpu: refuse,
    shareCpu: refuse,
    destroyDomain: async () => refuse(),
    sendFiles: async () => refuse(),
    ...overrides,
  };
}

describe("native hypervisor", () => {
  it("turns Xen's shutdown numbers into words", () => {
    const ended = (shutdownReason: number) =>
      new NativeHypervisor(
        addon({ listDomains: () => [{ ...domain, shutdown: true, shutdownReason }] }),
      ).listDomains()[0]?.shutdown;
    expect(ended(0)).toBe("poweroff");
    expect(ended(3)).toBe("crash");
    expect(ended(99)).toBe("other");
    expect(new NativeHypervisor(addon({})).listDomains()[0]?.shutdown).toBeUndefined();
  });

  it("tells the usage of domains by their numbers", () => {
    const usages = new NativeHypervisor(addon({})).domainUsages();
    expect([...usages]).toEqual([
      [0, { cpuNanoseconds: 7n, memoryBytes: 4096n }],
      [3, { cpuNanoseconds: 8n, memoryBytes: 8192n }],
    ]);
  });

  it("says which call failed", () => {
    const hypervisor = new NativeHypervisor(addon({}));
    expect(() => hypervisor.unpauseDomain(3)).toThrow("cannot unpause domain 3");
    expect(() => hypervisor.limitMemory(3, 4096n)).toThrow("cannot limit the memory of domain 3");
    const share = { weight: 256, capPercent: 100 };
    expect(() => hypervisor.shareCpu(3, share)).toThrow("cannot set the CPU share of domain 3");
    expect(() => hypervisor.info()).toThrow("cannot ask Xen about the host");
  });

  it("destroying what is gone is no error; failing to destroy what is there is", async () => {
    const hypervisor = new NativeHypervisor(addon({}));
    await expect(hypervisor.destroyDomain(4)).resolves.toBeUndefined();
    await expect(hypervisor.destroyDomain(3)).rejects.toMatchObject({ code: "unavailable" });
  });
});
