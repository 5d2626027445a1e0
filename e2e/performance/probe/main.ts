// SPDX-License-Identifier: Apache-2.0
// Runs in the box and speaks the CRI as kubelet does, to whichever runtime listens: so the same
// client, with the same overhead, measures ours and the peer. One JSON document in, one out.
import { readFileSync } from "node:fs";
import { Cri } from "./cri.ts";
import { empty, fill, look, type RuntimeProcesses } from "./crowd.ts";
import { type PodPlan, timePod } from "./pod.ts";

/** What the probe is told on its standard input. */
export type ProbeRequest =
  /** Pods one after the other, each through its life. Answer: PodTimes[]. */
  | { readonly do: "life"; readonly plan: PodPlan; readonly pods: number; readonly execs: number }
  /** Pods side by side, that stay. Answer: Filled. */
  | { readonly do: "fill"; readonly plan: PodPlan; readonly pods: number }
  /** What those cost. Answer: Crowd. */
  | { readonly do: "look"; readonly processes: RuntimeProcesses; readonly idleMs: number }
  /** All of them away. Answer: number[]. */
  | { readonly do: "empty" };

async function probe(cri: Cri, request: ProbeRequest): Promise<unknown> {
  switch (request.do) {
    case "life": {
      const all: unknown[] = [];
      for (let i = 0; i < request.pods; i++) {
        const options = { name: `life-${i}`, execs: request.execs };
        all.push(await timePod(cri, request.plan, options));
      }
      return all;
    }
    case "fill":
      return await fill(cri, request.plan, request.pods);
    case "look":
      return await look(cri, request.processes, request.idleMs);
    case "empty":
      return await empty(cri);
  }
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
