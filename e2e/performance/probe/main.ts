// SPDX-License-Identifier: Apache-2.0
// Runs in the box and speaks the CRI as kubelet does, to whichever runtime listens: so the same
// client, with the same overhead, measures ours and the peer. One JSON document in, one out.
import { readFileSync } from "node:fs";
import type { PoolMetrics } from "../../../src/toolstack/pool/metrics.ts";
import type { ShellLevel } from "../../../src/toolstack/shell-record.ts";
import { call } from "../../../test/harness/cri-call.ts";
import { Cri } from "./cri.ts";
import { empty, fill, look, type RuntimeProcesses } from "./crowd.ts";
import { type PodPlan, type PodTimes, timePod } from "./pod.ts";
import { untilHoldsOnly } from "./pool-contents.ts";

/** How often a pool that is being filled is looked at; milliseconds. */
const LOOK_MS = 1000;

/** Pods one after the other, each through its life. */
export interface Lives {
  readonly pods: number;
  /** Commands in each. */
  readonly execs: number;
  /** Of a pool of one: each pod waits until such a shell waits for it, which is not its time. */
  readonly from?: ShellLevel;
}

/** What the probe is told on its standard input. */
export type ProbeRequest =
  /** Answer: PodTimes[]. */
  | ({ readonly do: "life"; readonly plan: PodPlan } & Lives)
  /** Pods side by side, that stay. Answer: Filled. */
  | { readonly do: "fill"; readonly plan: PodPlan; readonly pods: number }
  /** What those cost. Answer: Crowd. */
  | { readonly do: "look"; readonly processes: RuntimeProcesses; readonly idleMs: number }
  /** All of them away. Answer: number[]. */
  | { readonly do: "empty" };

async function probe(cri: Cri, request: ProbeRequest): Promise<unknown> {
  switch (request.do) {
    case "life":
      return await live(cri, request.plan, request);
    case "fill":
      return await fill(cri, request.plan, request.pods);
    case "look":
      return await look(cri, request.processes, request.idleMs);
    case "empty":
      return await empty(cri);
  }
}

/** What waits in lightvmd's pool. */
async function poolOf({ runtime }: Cri): Promise<PoolMetrics> {
  const { info } = await call(runtime, runtime.status, { verbose: true });
  const { pool } = JSON.parse(info["lightvm"] ?? "{}") as { pool?: PoolMetrics };
  if (pool === undefined) throw new Error("the runtime tells nothing of a pool");
  return pool;
}

async function live(cri: Cri, plan: PodPlan, { pods, execs, from }: Lives): Promise<PodTimes[]> {
  const all: PodTimes[] = [];
  for (let i = 0; i < pods; i++) {
    if (from !== undefined) {
      await untilHoldsOnly({ vm: plan.vm, level: from }, LOOK_MS, async () => await poolOf(cri));
    }
    all.push(await timePod(cri, plan, { name: `life-${i}`, execs }));
  }
  return all;
}

const [socket] = process.argv.slice(2);
if (socket === undefined) throw new Error("usage: probe SOCKET <request.json");
const cri = new Cri(socket);
try {
  const request = JSON.parse(readFileSync(0, "utf8")) as ProbeRequest;
  process.stdout.write(JSON.stringify(await probe(cri, request)));
} finally {
  cri.close();
}
