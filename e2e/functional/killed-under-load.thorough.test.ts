// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { LightvmError } from "../../src/shared/errors.ts";
import type { CommandResult } from "../box/ssh.ts";
import { Bystander } from "../framework/bystander.ts";
import type { PodOptions } from "../framework/crictl.ts";
import type { ContainerStatus, Listed } from "../framework/crictl-answers.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

/** How often lightvmd is killed. */
const KILLS = Number(process.env["LIGHTVM_KILLS"] ?? 20);
/** Pods that are made, used and removed side by side, over and over. */
const WORKERS = 2;
/** The longest that lightvmd lives, in the time that one pod takes from its creation to its removal. */
const LIFE = 1;
/** A kill, a start under emulation and the work in between. */
const PER_KILL_MS = 90_000;

/** What crictl says when lightvmd is gone or goes away; an answer of lightvmd's has none of it. */
const GONE =
  /connection refused|connect: no such file|error reading from server|connection error|connection reset|broken pipe|context deadline exceeded/;

/** Ends with a code of its own when it is asked to. */
const EXITS_7 = "trap 'exit 7' TERM; while :; do sleep 1; done";

/**
 * lightvmd is killed with -9 at moments that nobody chose, while crictl makes, uses and removes pods.
 * A client that lost its answer looks at what there is, as kubelet does, and goes on from there.
 */
describe("lightvmd that is killed again and again under load", () => {
  let node: NodeUnderTest;
  let bystander: Bystander;
  /** Until lightvmd serves again, or for the first time. Who has found it gone waits for that. */
  let serving: Promise<void> = Promise.resolve();

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    bystander = await Bystander.start(node);
  });
  afterAll(async () => {
    await using _node = node;
    await bystander.remove();
  });

  async function killAndStart(): Promise<void> {
    await node.daemon.end("KILL");
    await node.daemon.start();
  }

  /** crictl until it has an answer that is lightvmd's; `again` = whether an answer was lost before. */
  async function answered(
    words: (again: boolean) => Promise<readonly string[] | undefined>,
  ): Promise<CommandResult | undefined> {
    for (let again = false; ; again = true) {
      const call = await words(again);
      if (call === undefined) return undefined;
      const result = await node.crictl.run(call, 120_000);
      if (result.code === 0) return result;
      if (!GONE.test(result.stderr)) {
        throw new LightvmError("internal", `crictl ${call.join(" ")}: ${result.stderr}`);
      }
      await serving;
    }
  }

  async function asked<T>([verb = "", ...args]: readonly string[]): Promise<T> {
    const result = await answered(async () => [verb, "-o", "json", ...args]);
    return JSON.parse(result?.stdout ?? "") as T;
  }

  /** Runs a step whose answer may be lost: `done` looks whether it was taken in spite of that. */
  async function step(words: readonly string[], done: () => Promise<boolean>): Promise<void> {
    await answered(async (again) => (again && (await done()) ? undefined : words));
  }

  const podsNamed = async (name: string) =>
    (await asked<{ items?: Listed[] }>(["pods", "--name", `^${name}$`])).items ?? [];
  const containersOf = async (sandbox: string) =>
    (await asked<{ containers?: Listed[] }>(["ps", "-a", "--pod", sandbox])).containers ?? [];

  /** One pod from its creation to its removal, with everything that it must have been seen to do. */
  async function lifeOf(own: PodOptions): Promise<void> {
    const { crictl } = node;
    const container = { name: "worker", image: node.busybox, command: ["sh", "-c", EXITS_7] };
    await step(
      await crictl.runPodArguments(own),
      async () => (await podsNamed(own.name)).length > 0,
    );
    const [sandbox] = await podsNamed(own.name);
    expect(sandbox).toMatchObject({ state: "SANDBOX_READY" });
    const { id: sandboxId = "" } = sandbox ?? {};
    const create = await crictl.createArguments(sandboxId, container, own);
    await step(create, async () => (await containersOf(sandboxId)).length > 0);
    const [created] = await containersOf(sandboxId);
    const { id = "" } = created ?? {};
    const state = async () => (await asked<{ status: ContainerStatus }>(["inspect", id])).status;
    await step(["start", id], async () => (await state()).state === "CONTAINER_RUNNING");
    const echo = await answered(async () => ["exec", "--sync", id, "echo", own.name]);
    // crictl adds empty lines to what it prints of an ExecSync.
    expect(echo?.stdout.trim()).toBe(own.name);
    await step(["stop", "--timeout", "60", id], async () => false);
    expect(await state()).toMatchObject({ state: "CONTAINER_EXITED", exitCode: 7 });
    await step(["rmp", "-f", sandboxId], async () => (await podsNamed(own.name)).length === 0);
    expect(await podsNamed(own.name)).toEqual([]);
  }

  /** Milliseconds that a pod takes on this machine, with nobody else and nobody killed. */
  async function podLifeMs(): Promise<number> {
    const started = performance.now();
    await lifeOf({ name: "alone" });
    return performance.now() - started;
  }

  it(`has all pods right after ${KILLS} kills`, { timeout: KILLS * PER_KILL_MS }, async () => {
    const longestMs = LIFE * (await podLifeMs());
    let killing = true;
    let lives = 0;
    const worker = async (number: number) => {
      for (let n = 0; killing; n += 1) {
        await lifeOf({ name: `load-${number}-${n}` });
        lives += 1;
      }
    };
    const killer = async () => {
      try {
        for (let kills = 0; kills < KILLS; kills += 1) {
          const lifeMs = Math.random() * longestMs;
          await new Promise((resolve) => setTimeout(resolve, lifeMs));
          serving = killAndStart();
          await serving;
          if (kills % 10 === 9) console.log(`${kills + 1} kills, ${lives} pods`);
        }
      } finally {
        killing = false;
      }
    };
    await Promise.all([killer(), ...Array.from({ length: WORKERS }, (_, n) => worker(n))]);
    console.log(`${lives} pods lived through ${KILLS} kills`);
    expect(lives).toBeGreaterThanOrEqual(WORKERS);
    expect(await tracesOfPods(node.box)).toEqual(bystander.traces);
    expect(await node.crictl.must(["ps", "-a", "-q", "--no-trunc"])).toBe(bystander.container);
    expect(await node.crictl.must(["pods", "-q", "--no-trunc"])).toBe(bystander.pod.id);
  });

  it("loses no line of the log of a container that ran all the while", async () => {
    await bystander.expectWholeLog(KILLS);
  });
});
