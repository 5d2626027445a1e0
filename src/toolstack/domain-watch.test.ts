// SPDX-License-Identifier: Apache-2.0
import { beforeEach, describe, expect, it, vi } from "vitest";
import { silentLogger } from "../shared/logger.ts";
import { DomainWatch } from "./domain-watch.ts";
import type { DomainInfo, ShutdownReason } from "./hypervisor.ts";

const INTERVAL_MS = 1000;

let domains: DomainInfo[];
let state: bigint;
let lists: number;
let watch: DomainWatch;

const uuid = (domid: number) => String(domid).padStart(32, "0");
function domain(domid: number, change: Partial<DomainInfo> = {}): DomainInfo {
  return {
    domid,
    uuid: uuid(domid),
    paused: false,
    dying: false,
    shutdown: undefined,
    memoryBytes: 0n,
    vcpus: 1,
    cpuNanoseconds: 0n,
    ...change,
  };
}
function become(...next: DomainInfo[]): void {
  domains = next;
  state++;
}

beforeEach(() => {
  vi.useFakeTimers();
  [domains, state, lists] = [[domain(1), domain(2)], 0n, 0];
  const source = {
    domainsState: () => state,
    listDomains: () => {
      lists++;
      return domains;
    },
  };
  watch = new DomainWatch(source, silentLogger(), INTERVAL_MS);
  return () => vi.useRealTimers();
});

describe("the watch over the domains", () => {
  it.each<[string, () => void, ShutdownReason | "missing"]>([
    ["ends", () => become(domain(1, { shutdown: "crash" }), domain(2)), "crash"],
    ["is being destroyed", () => become(domain(1, { dying: true }), domain(2)), "missing"],
    ["is gone", () => become(domain(2)), "missing"],
    ["is another one", () => become(domain(1, { uuid: uuid(7) }), domain(2)), "missing"],
  ])("tells of one that %s, once", (_what, happen, fate) => {
    const told = vi.fn();
    const other = vi.fn();
    watch.watch(1, uuid(1), told);
    watch.watch(2, uuid(2), other);
    vi.advanceTimersByTime(INTERVAL_MS);
    expect(told).not.toHaveBeenCalled();
    happen();
    vi.advanceTimersByTime(3 * INTERVAL_MS);
    expect(told.mock.calls).toEqual([[fate]]);
    expect(other).not.toHaveBeenCalled();
  });

  it("looks at each domain only when something has changed", () => {
    watch.watch(1, uuid(1), () => undefined);
    vi.advanceTimersByTime(10 * INTERVAL_MS);
    expect(lists).toBe(1);
    become(domain(1), domain(2), domain(3));
    vi.advanceTimersByTime(10 * INTERVAL_MS);
    expect(lists).toBe(2);
  });

  it("looks for one that has ended before it was watched", () => {
    watch.watch(1, uuid(1), () => undefined);
    become(domain(1), domain(2, { shutdown: "poweroff" }));
    vi.advanceTimersByTime(INTERVAL_MS);
    const told = vi.fn();
    watch.watch(2, uuid(2), told);
    vi.advanceTimersByTime(INTERVAL_MS);
    expect(told.mock.calls).toEqual([["poweroff"]]);
  });
});
