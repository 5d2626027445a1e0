// SPDX-License-Identifier: Apache-2.0
import { expect } from "vitest";
import type { NodeUnderTest } from "./node-under-test.ts";
import { PodUnderTest } from "./pod-under-test.ts";
import { tracesOfPods } from "./traces.ts";

/** Prints a line a second, numbered from 0. */
const COUNT = "i=0; while :; do echo line $i; i=$((i+1)); sleep 1; done";
const CONTAINER = { name: "bystander", command: ["sh", "-c", COUNT] };

/** A pod that must not notice what a test does to others, with a container that counts seconds. */
export class Bystander {
  readonly pod: PodUnderTest;
  /** Id of the container that counts. */
  readonly container: string;
  /** What there is on the node while there is no other pod. */
  readonly traces: readonly string[];
  readonly #node: NodeUnderTest;

  private constructor(
    node: NodeUnderTest,
    { container, pod, traces }: Pick<Bystander, "pod" | "container" | "traces">,
  ) {
    this.#node = node;
    this.pod = pod;
    this.container = container;
    this.traces = traces;
  }

  /** Runs it on a node that has no other pod. */
  static async start(node: NodeUnderTest): Promise<Bystander> {
    const pod = await PodUnderTest.run(node, { name: "standing" });
    const container = await pod.start(CONTAINER);
    return new Bystander(node, { pod, container, traces: await tracesOfPods(node.box) });
  }

  /** Its container still answers. */
  async expectAlive(): Promise<void> {
    await expectEcho(this.#node, this.container);
  }

  /** The log has more than this number of lines, and none is missing. */
  async expectWholeLog(lines: number): Promise<void> {
    const log = await this.pod.rawLog(CONTAINER);
    const numbers = [...log.matchAll(/ F line (\d+)$/gm)].map(([, number]) => Number(number));
    expect(numbers.length).toBeGreaterThan(lines);
    expect(numbers).toEqual(numbers.map((_, index) => index));
  }

  /** Removes it; then the node is as it was before it. */
  async remove(): Promise<void> {
    await this.pod.remove();
    expect(await tracesOfPods(this.#node.box)).toEqual(this.#node.tracesBefore);
  }
}

/** A container executes commands. */
export async function expectEcho(node: NodeUnderTest, container: string): Promise<void> {
  expect(await node.crictl.exec(container, ["echo", "alive"])).toMatchObject({
    code: 0,
    stdout: "alive\n",
  });
}
