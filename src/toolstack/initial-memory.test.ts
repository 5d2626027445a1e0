// SPDX-License-Identifier: Apache-2.0
import { expect, it } from "vitest";
import { initialMemoryOf } from "./initial-memory.ts";

const MIB = 1024 * 1024;

it.each([
  { vcpus: 1, memory: 64, initial: 20, why: "the base is enough for a small guest" },
  { vcpus: 1, memory: 128, initial: 20, why: "its first section costs nothing more" },
  { vcpus: 1, memory: 16, initial: 16, why: "it never starts with more than it may have" },
  { vcpus: 2, memory: 64, initial: 26, why: "vCPUs and the kernel for them take memory" },
  { vcpus: 1, memory: 4096, initial: 104, why: "memory is described by memory" },
])("$memory MiB, $vcpus vCPU: $why", ({ vcpus, memory, initial }) => {
  const bytes = initialMemoryOf({ vcpus, memoryBytes: memory * MIB }, 20 * MIB);
  expect(bytes / MIB).toBe(initial);
});
