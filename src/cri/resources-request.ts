// SPDX-License-Identifier: Apache-2.0
import type { LinuxContainerResources } from "../../cri-proto/generated/runtime/v1/resources.ts";
import type { ContainerResources } from "../pod/container-record.ts";
import type { PodResources } from "../service/sandbox/update.ts";
import type { LightvmError } from "../shared/errors.ts";
import { invalid, natural, oneLine, safeNumber, unsupported } from "./checks.ts";

/** Files of a cgroup that bound what it uses; anything else would move or freeze the container. */
const UNIFIED = /^(cpu|cpuset|hugetlb|io|memory|pids)\.[a-zA-Z0-9._]+$/;
/** As the kernel names them in the files of the hugetlb controller. */
const PAGE_SIZE = /^[1-9][0-9]*[KMG]B$/;

/** Limits of a container; `where` names the message in an error. */
export function containerResources(
  linux: LinuxContainerResources | undefined,
  where: string,
): ContainerResources {
  const what = (field: string) => `${where}.${field}`;
  const adjust = safeNumber(linux?.oomScoreAdj ?? 0n, what("oom_score_adj"));
  if (adjust < -1000 || adjust > 1000) throw invalid(`${what("oom_score_adj")} of ${adjust}`);
  return {
    cpuShares: natural(linux?.cpuShares ?? 0n, what("cpu_shares")),
    cpuQuotaMicroseconds: safeNumber(linux?.cpuQuota ?? 0n, what("cpu_quota")),
    cpuPeriodMicroseconds: natural(linux?.cpuPeriod ?? 0n, what("cpu_period")),
    memoryLimitBytes: natural(linux?.memoryLimitInBytes ?? 0n, what("memory_limit_in_bytes")),
    memorySwapLimitBytes: natural(
      // -1 is "unlimited", which is what no limit means too.
      linux?.memorySwapLimitInBytes === -1n ? 0n : (linux?.memorySwapLimitInBytes ?? 0n),
      what("memory_swap_limit_in_bytes"),
    ),
    oomScoreAdjust: adjust,
    cpusetCpus: oneLine(linux?.cpusetCpus ?? "", what("cpuset_cpus")),
    cpusetMems: oneLine(linux?.cpusetMems ?? "", what("cpuset_mems")),
    hugepageLimits: hugepageLimits(linux, what("hugepage_limits")),
    unified: unified(linux, what("unified")),
  };
}

/** Limits of a pod as a whole: those of its containers, and the memory that the VM itself takes. */
export function podResources(
  resources: LinuxContainerResources | undefined,
  overhead: LinuxContainerResources | undefined,
): PodResources {
  const memory = (of: LinuxContainerResources | undefined, where: string) =>
    natural(of?.memoryLimitInBytes ?? 0n, `${where}.memory_limit_in_bytes`);
  hugepageLimits(resources, "resources.hugepage_limits");
  const limit = memory(resources, "resources");
  return {
    cpuShares: natural(resources?.cpuShares ?? 0n, "resources.cpu_shares"),
    memoryLimitBytes: limit === 0 ? 0 : limit + memory(overhead, "overhead"),
    cpuQuotaMicroseconds: safeNumber(resources?.cpuQuota ?? 0n, "resources.cpu_quota"),
    cpuPeriodMicroseconds: natural(resources?.cpuPeriod ?? 0n, "resources.cpu_period"),
  };
}

/**
 * A VM gets its memory bit by bit, so its kernel has no huge pages to promise. Kubelet names each size
 * that its node has with a limit of 0 in any container; a pod that wants some is refused.
 */
function hugepageLimits(
  linux: LinuxContainerResources | undefined,
  what: string,
): Record<string, number> {
  const limits: Record<string, number> = {};
  for (const { limit, pageSize } of linux?.hugepageLimits ?? []) {
    if (!PAGE_SIZE.test(pageSize)) throw invalid(`${what}: "${pageSize}" is no size of a page`);
    if (natural(limit, `${what} of ${pageSize}`) > 0) throw withoutHugePages(what, pageSize);
    limits[pageSize] = 0;
  }
  return limits;
}

function withoutHugePages(what: string, pageSize: string): LightvmError {
  return unsupported(
    `${what}: huge pages of ${pageSize}: a pod's VM has none; take the container's hugepages-* ` +
      "resources away, or run the pod with another runtime class",
  );
}

function unified(linux: LinuxContainerResources | undefined, what: string): Record<string, string> {
  for (const [file, content] of Object.entries(linux?.unified ?? {})) {
    if (!UNIFIED.test(file)) throw invalid(`${what}: "${file}" cannot be set`);
    oneLine(content, `${what} of "${file}"`);
  }
  return linux?.unified ?? {};
}
