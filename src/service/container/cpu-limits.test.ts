// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { checkQuota, guestCpuset, parseCpuList } from "./cpu-limits.ts";

describe("a list of CPUs", () => {
  it("is what the kernel's own says", () => {
    expect(parseCpuList("")).toEqual([]);
    expect(parseCpuList("0-2,5")).toEqual([0, 1, 2, 5]);
  });

  it.each(["x", "1-", "-1", "2-1", "0,,1", "0 1", "99999", "0-100000"])("is not %j", (text) => {
    expect(() => parseCpuList(text)).toThrow(/no list of CPUs/);
  });

  it("is the guest's when the VM has them", () => {
    expect(guestCpuset({ cpusetCpus: "1" }, 2)).toBe("1");
    expect(guestCpuset({ cpusetCpus: "0" }, 1)).toBe("");
    expect(() => guestCpuset({ cpusetCpus: "0,6-7" }, 2)).toThrow(
      /"0,6-7" names CPU 6, but the pod's VM has 2 vCPUs, CPUs 0 to 1/,
    );
    expect(() => guestCpuset({ cpusetCpus: "1" }, 1)).toThrow(/has 1 vCPU, CPU 0:/);
  });
});

describe("a limit in CPUs", () => {
  const check = (quota: number, period = 0, vcpus = 2) =>
    checkQuota({ cpuQuotaMicroseconds: quota, cpuPeriodMicroseconds: period }, vcpus, "it");

  it("may be what the VM has, less, none or not said", () => {
    for (const quota of [-1, 0, 1000, 200_000]) expect(() => check(quota)).not.toThrow();
    expect(() => check(40_000, 20_000)).not.toThrow();
  });

  it("may not be more", () => {
    expect(() => check(250_000)).toThrow("it cannot have 2.5 CPUs: its VM has 2 vCPUs");
    expect(() => check(60_000, 20_000)).toThrow("it cannot have 3 CPUs");
  });
});
