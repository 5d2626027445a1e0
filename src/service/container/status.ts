// SPDX-License-Identifier: Apache-2.0
import type { Container } from "../../pod/container.ts";
import type { NodeContext } from "../node-context.ts";

/** ContainerStatus. Throws "not-found". */
export function containerStatus({ pods }: NodeContext, id: string): Container {
  return pods.getContainer(id);
}

/** What only we know of a container, for people who look for a fault. */
export function containerDetails({ metadata }: Container): object {
  return { sandboxID: metadata.sandboxId, process: metadata.process };
}
