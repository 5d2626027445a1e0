// SPDX-License-Identifier: Apache-2.0
import type { SandboxConfig, SandboxMetadata } from "../../pod/sandbox-record.ts";
import type { Config } from "../../shared/config.ts";
import { isForUnikernels } from "../node/runtime-handlers.ts";

const KIB = 1024;
const MIB = 1024 * 1024;
const PAGE = 4096;
/** Xen backs a guest's memory with pages of this size where it can. */
const SUPERPAGE = 2 * MIB;
const MAX_VCPUS = 64;
/** Bytes of a domain's name. */
const MAX_NAME_BYTES = 64;

/** The VM that a pod gets: as large as its containers may become, or the configured default. */
export function vmOf(sandbox: SandboxConfig, defaults: Config["vm"]): SandboxMetadata["vm"] {
  return {
    name: vmName(sandbox),
    vcpus: vcpus(sandbox, defaults),
    ...(isForUnikernels(sandbox)
      ? { unikernel: true, memoryBytes: unikernelBytes(sandbox, defaults) }
      : { memoryBytes: memoryBytes(sandbox, defaults) }),
  };
}

function vcpus({ resources }: SandboxConfig, defaults: Config["vm"]): number {
  const { cpuQuotaMicroseconds: quota, cpuPeriodMicroseconds: period } = resources;
  if (quota <= 0 || period <= 0) return defaults.vcpus;
  return Math.min(Math.max(Math.ceil(quota / period), 1), MAX_VCPUS);
}

function memoryBytes({ resources }: SandboxConfig, defaults: Config["vm"]): number {
  const { memoryLimitBytes: limit, overheadMemoryBytes: overhead } = resources;
  if (limit <= 0) return defaults.memory_mib * MIB;
  const own = overhead > 0 ? overhead : defaults.overhead_mib * MIB;
  return Math.ceil((limit + own) / SUPERPAGE) * SUPERPAGE;
}

/** What the pod asks for is all for its kernel: there is nothing of ours in such a guest. */
function unikernelBytes({ resources }: SandboxConfig, defaults: Config["vm"]): number {
  const { memoryLimitBytes: limit } = resources;
  if (limit <= 0) return defaults.unikernel_memory_kib * KIB;
  return Math.floor(limit / PAGE) * PAGE;
}

/** "namespace/name", cut at the end of a character. */
function vmName({ namespace, name }: SandboxConfig): string {
  const text = namespace === "" ? name : `${namespace}/${name}`;
  const bytes = Buffer.from(text).subarray(0, MAX_NAME_BYTES);
  return new TextDecoder().decode(bytes, { stream: true });
}
