// SPDX-License-Identifier: Apache-2.0
import type { Sandbox, SandboxState } from "../../pod/sandbox.ts";
import { hasLabels } from "../labels.ts";
import type { NodeContext } from "../node-context.ts";

/** Sandboxes that match everything that is set. */
export interface SandboxFilter {
  /** Id or its beginning; "" = any. */
  readonly id: string;
  readonly state: SandboxState | undefined;
  readonly labels: Readonly<Record<string, string>>;
}

/** ListPodSandbox. */
export function listPodSandboxes({ pods }: NodeContext, filter: SandboxFilter): Sandbox[] {
  return pods
    .sandboxes()
    .filter(
      (sandbox) =>
        sandbox.id.startsWith(filter.id) &&
        (filter.state === undefined || sandbox.state === filter.state) &&
        hasLabels(sandbox.metadata.config.labels, filter.labels),
    );
}
