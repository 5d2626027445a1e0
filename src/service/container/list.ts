// SPDX-License-Identifier: Apache-2.0
import type { Container, ContainerState } from "../../pod/container.ts";
import { hasLabels } from "../labels.ts";
import type { NodeContext } from "../node-context.ts";

/** Containers that match everything that is set. */
export interface ContainerFilter {
  /** Ids or their beginnings; "" = any. */
  readonly id: string;
  readonly sandboxId: string;
  readonly state: ContainerState | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

/** ListContainers. */
export function listContainers({ pods }: NodeContext, filter: ContainerFilter): Container[] {
  return pods
    .containers()
    .filter(
      (container) =>
        container.id.startsWith(filter.id) &&
        container.metadata.sandboxId.startsWith(filter.sandboxId) &&
        (filter.state === undefined || container.state === filter.state) &&
        hasLabels(container.metadata.config.labels, filter.labels),
    );
}
