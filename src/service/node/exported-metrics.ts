// SPDX-License-Identifier: Apache-2.0
import type { Pods } from "../../pod/pods.ts";
import type { NodeMetrics } from "../../shared/metrics.ts";

/** Adds what is known of pods and containers to the metrics that Prometheus gets. */
export function exportPodMetrics(metrics: NodeMetrics, pods: Pods): void {
  metrics.gauge("lightvmd_sandboxes", "Pod sandboxes by state", "state", () =>
    counted(pods.sandboxes()),
  );
  metrics.gauge("lightvmd_containers", "Containers by state", "state", () =>
    counted(pods.containers()),
  );
}

function counted(items: readonly { readonly state: string }[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { state } of items) counts.set(state, (counts.get(state) ?? 0) + 1);
  return counts;
}
