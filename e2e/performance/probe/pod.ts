// SPDX-License-Identifier: Apache-2.0
import { ContainerConfig } from "../../../cri-proto/generated/runtime/v1/container.ts";
import { PodSandboxConfig } from "../../../cri-proto/generated/runtime/v1/sandbox.ts";
import { PodSandboxStatusRequest } from "../../../cri-proto/generated/runtime/v1/sandbox_calls.ts";
import { NamespaceMode } from "../../../cri-proto/generated/runtime/v1/security.ts";
import { call } from "../../../test/harness/cri-call.ts";
import { networkOfPod, type Steps, stepsOfPod } from "../report/steps.ts";
import { type Cri, timed } from "./cri.ts";

/** What is run, and by which of the node's handlers. */
export interface PodPlan {
  readonly image: string;
  /** [] = what the image says. */
  readonly command: readonly string[];
  readonly handler: string;
  /** The VM that lightvmd gives to such a pod by default. */
  readonly vm: {
    readonly vcpus: number;
    readonly memoryBytes: number;
    readonly unikernel: boolean;
  };
}

/** Milliseconds of each call of a pod's life. */
export interface PodTimes {
  readonly run: number;
  readonly create: number;
  readonly start: number;
  /** ExecSync of `true`, one after the other; empty where there is no exec. */
  readonly exec: readonly number[];
  readonly stop: number;
  readonly remove: number;
  /** Where the toolstack's part of it went; one item, or none where the runtime does not tell. */
  readonly steps: readonly Steps[];
  /** Milliseconds that its network took, beside the VM; one item, or none as above. */
  readonly network: readonly number[];
}

/** A pod that was started, and how long that took. */
export interface StartedPod {
  readonly sandbox: string;
  readonly container: string;
  readonly times: Pick<PodTimes, "run" | "create" | "start">;
}

const LOGS = "/var/log/pods/bench";

/** RunPodSandbox, CreateContainer, StartContainer. */
export async function startPod(cri: Cri, plan: PodPlan, name: string): Promise<StartedPod> {
  const { runtime } = cri;
  const config = PodSandboxConfig.fromPartial({
    metadata: { name, namespace: "bench", uid: name, attempt: 0 },
    hostname: "bench",
    logDirectory: `${LOGS}_${name}`,
    // As kubelet's; containerd has statistics of pods with one only.
    linux: { cgroupParent: "/bench" },
  } as Partial<PodSandboxConfig>);
  const { result: pod, ms: run } = await timed(() =>
    call(runtime, runtime.runPodSandbox, { config, runtimeHandler: plan.handler }),
  );
  const container = ContainerConfig.fromPartial({
    metadata: { name: "main", attempt: 0 },
    image: { image: plan.image },
    command: [...plan.command],
    logPath: "main.log",
    // As kubelet asks of every container that does not share its processes.
    linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.CONTAINER } } },
  } as Partial<ContainerConfig>);
  const { podSandboxId } = pod;
  const { result: made, ms: create } = await timed(() =>
    call(runtime, runtime.createContainer, {
      podSandboxId,
      config: container,
      sandboxConfig: config,
    }),
  );
  const { containerId } = made;
  const { ms: start } = await timed(() => call(runtime, runtime.startContainer, { containerId }));
  return { sandbox: podSandboxId, container: containerId, times: { run, create, start } };
}

/** Milliseconds of the three calls that start a pod. */
export function threeCalls({ create, run, start }: Pick<PodTimes, "run" | "create" | "start">) {
  return run + create + start;
}

/** What a runtime of ours tells about a pod's creation; [] of another. */
export async function podSteps(cri: Cri, podSandboxId: string): Promise<Steps[]> {
  return (await ownInfo(cri, podSandboxId)).map(stepsOfPod);
}

/** The verbose status of a runtime of ours; [] of another. */
async function ownInfo(
  { runtime }: Cri,
  podSandboxId: string,
): Promise<Readonly<Record<string, string>>[]> {
  const request = PodSandboxStatusRequest.fromPartial({ podSandboxId, verbose: true });
  const { info } = await call(runtime, runtime.podSandboxStatus, request);
  return info["lightvm"] === undefined ? [] : [info];
}

/** StopPodSandbox and RemovePodSandbox; the milliseconds of each. */
export async function removePod(
  { runtime }: Cri,
  podSandboxId: string,
): Promise<Pick<PodTimes, "stop" | "remove">> {
  const { ms: stop } = await timed(() => call(runtime, runtime.stopPodSandbox, { podSandboxId }));
  const { ms: remove } = await timed(() =>
    call(runtime, runtime.removePodSandbox, { podSandboxId }),
  );
  return { stop, remove };
}

/** Lives one pod's life, with `execs` commands in it. */
export async function timePod(
  cri: Cri,
  plan: PodPlan,
  options: { readonly name: string; readonly execs: number },
): Promise<PodTimes> {
  const { runtime } = cri;
  const { sandbox, container, times } = await startPod(cri, plan, options.name);
  const info = await ownInfo(cri, sandbox);
  const exec: number[] = [];
  for (let i = 0; i < options.execs; i++) {
    const request = { containerId: container, cmd: ["true"], timeout: 60n };
    const { ms, result } = await timed(() => call(runtime, runtime.execSync, request));
    if (result.exitCode !== 0) throw new Error(`true ended with ${result.exitCode}`);
    exec.push(ms);
  }
  const tells = { steps: info.map(stepsOfPod), network: info.map(networkOfPod) };
  return { ...times, exec, ...tells, ...(await removePod(cri, sandbox)) };
}
