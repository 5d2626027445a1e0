// SPDX-License-Identifier: Apache-2.0
import {
  type Isolation,
  Isolation_ProcessView as ProcessView,
} from "../../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import type { ContainerMetadata } from "../../pod/container-record.ts";
import type { Sandbox } from "../../pod/sandbox.ts";
import { LightvmError } from "../../shared/errors.ts";
import { seccompFilter } from "./seccomp/seccomp.ts";

const VIEWS = {
  container: ProcessView.PROCESS_VIEW_OWN,
  pod: ProcessView.PROCESS_VIEW_POD,
  target: ProcessView.PROCESS_VIEW_TARGET,
} as const;

/**
 * What keeps a container apart from the others of its pod and from its guest's kernel. Throws
 * "not-found" for a target that is not in the pod, and what `seccompFilter` throws.
 */
export async function isolationOf(
  { containers }: Sandbox,
  { config, process }: ContainerMetadata,
): Promise<Isolation> {
  const { namespaces } = config.security;
  if (namespaces.pid === "target" && !containers.has(namespaces.pidTarget)) {
    const what = `container ${namespaces.pidTarget}, whose processes are to be seen, is not in the pod`;
    throw new LightvmError("not-found", what);
  }
  return {
    seccompFilter: Buffer.from(await seccompFilter(config.security, process.capabilities)),
    processView: VIEWS[namespaces.pid],
    processTarget: namespaces.pidTarget,
    ownIpc: namespaces.ipc === "container",
  };
}
