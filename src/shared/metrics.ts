// SPDX-License-Identifier: Apache-2.0
import { collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

/** Seconds: from what a warm cache answers to what an emulated machine takes. */
const CALL_BUCKETS = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100];
const BOOT_BUCKETS = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30];

/** What lightvmd counts of itself, for Prometheus. */
export class NodeMetrics {
  /** Everything that is exported; parts of lightvmd may register more. */
  readonly registry: Registry = new Registry();
  /** Seconds from a CRI call's arrival to the end of its answer, by verb and gRPC status code. */
  readonly calls: Histogram<"verb" | "code">;
  /** Seconds from unpausing a VM until its agent answered, or its unikernel gave a sign of life. */
  readonly boots: Histogram<"guest">;
  /** Streams that are open now, by verb. */
  readonly streams: Gauge<"verb">;

  constructor() {
    const registers = [this.registry];
    collectDefaultMetrics({ register: this.registry, prefix: "lightvmd_" });
    this.calls = new Histogram({
      name: "lightvmd_cri_call_seconds",
      help: "Time from a CRI call's arrival to the end of its answer",
      labelNames: ["verb", "code"],
      buckets: CALL_BUCKETS,
      registers,
    });
    this.boots = new Histogram({
      name: "lightvmd_guest_boot_seconds",
      help: "Time from unpausing a VM until its agent answered, or its unikernel gave a sign of life",
      labelNames: ["guest"],
      buckets: BOOT_BUCKETS,
      registers,
    });
    this.streams = new Gauge({
      name: "lightvmd_cri_streams",
      help: "CRI calls that answer with a stream and are open now",
      labelNames: ["verb"],
      registers,
    });
  }

  /** A gauge with one label whose values are looked up when somebody asks. */
  gauge(
    name: string,
    help: string,
    label: string,
    values: () => Iterable<readonly [string, number]>,
  ): void {
    new Gauge({
      name,
      help,
      labelNames: [label],
      registers: [this.registry],
      collect() {
        this.reset();
        for (const [key, value] of values()) this.set({ [label]: key }, value);
      },
    });
  }
}
