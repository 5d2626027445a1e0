// SPDX-License-Identifier: Apache-2.0
import type { Box } from "../box/box.ts";
import { Containerd } from "../framework/containerd.ts";
import { Crictl } from "../framework/crictl.ts";
import type { Registry } from "../framework/registry.ts";
import type { Plans } from "./images.ts";
import { EXECS, WARM_UP } from "./ours.ts";
import type { Crowd, Filled } from "./probe/crowd.ts";
import type { PodTimes } from "./probe/pod.ts";
import { Probe } from "./probe.ts";
import { say } from "./progress.ts";
import { clockedCommand } from "./shell-clock.ts";
import { IDLE_MS } from "./toolstack.ts";

/** containerd and runc, with the same images, the same network and the same client. */
export interface ContainerdSample {
  readonly pods: readonly PodTimes[];
  /** Milliseconds of `runc exec` of `true` in a running container, without containerd. */
  readonly runcExec: readonly number[];
  readonly crowd: Filled & Crowd & { readonly idleBefore: Crowd["idle"] };
}

/** Where containerd's shims keep what runc knows of the CRI's containers. */
const RUNC_ROOT = "/run/containerd/runc/k8s.io";

/** Measures containerd, which is started and ended for it. */
export async function measureContainerd(
  box: Box,
  registry: Registry,
  { busybox }: Plans,
  { peerCrowd, samples }: { peerCrowd: number; samples: number },
): Promise<ContainerdSample> {
  say("containerd and runc");
  const url = `http://${registry.host}`;
  const mirrors = { [registry.host]: url, "registry.k8s.io": url };
  const options = { mirrors, networkDirectory: "/etc/cni/net.d" };
  await using _containerd = await Containerd.start(box, options);
  const crictl = new Crictl(box, Containerd.endpoint);
  await crictl.must(["pull", busybox.image], 600_000);
  const probe = await Probe.install(box, "containerd");
  const all = await probe.life(busybox, { pods: WARM_UP + samples, execs: EXECS });
  const { idle: idleBefore } = await probe.look(IDLE_MS);
  say(`${peerCrowd} pods of containerd side by side`);
  const filled = await probe.fill(busybox, peerCrowd);
  const [container = ""] = (await crictl.must(["ps", "-q"])).split("\n");
  const exec = `runc --root ${RUNC_ROOT} exec ${container} true`;
  const runcExec = await clockedCommand(box, exec, WARM_UP + samples);
  const crowd = await probe.look(IDLE_MS);
  await probe.empty();
  return {
    pods: all.slice(WARM_UP),
    runcExec: runcExec.slice(WARM_UP),
    crowd: { ...filled, ...crowd, idleBefore },
  };
}
