// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { ToolstackBench } from "../../test/harness/toolstack-bench.ts";
import { formatPods, listPods } from "./ps.ts";

it("shows each pod with its domain, also one whose domain is gone", async () => {
  using bench = new ToolstackBench({ guest: "boots" });
  expect(listPods(bench.paths, bench.hypervisor)).toEqual([]);
  const toolstack = bench.toolstack();
  await toolstack.create(bench.spec("a"), bench.signal);
  const stopped = await toolstack.create(bench.spec("b"), bench.signal);
  await stopped.stop(0);
  expect(formatPods(listPods(bench.paths, bench.hypervisor)).split("\n")).toEqual([
    "POD            NAME   DOMID  STATE    VCPUS  MEMORY",
    "aaaaaaaaaaaaa  pod-a  1      running  1      64 MiB",
    "bbbbbbbbbbbbb  pod-b  -      gone     1      0 MiB",
  ]);
});
