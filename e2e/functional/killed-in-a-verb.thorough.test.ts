// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Bystander, expectEcho } from "../framework/bystander.ts";
import { crictlCommand } from "../framework/crictl.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

/** One CRI verb in whose middle lightvmd is killed. */
interface Interrupted {
  readonly verb: string;
  /** When to kill, milliseconds after the verb has begun; chosen for a box under emulation. */
  readonly moments: readonly number[];
  /** Brings about what the verb needs; returns crictl's words that call it. */
  prepare(): Promise<readonly string[]>;
  /** Looks at what the next lightvmd has found, finishes the verb, and cleans up. */
  finish(): Promise<void>;
}

const IGNORE_TERM = 'trap "" TERM; while :; do sleep 1; done';

describe("lightvmd killed with -9 in the middle of", () => {
  let node: NodeUnderTest;
  let bystander: Bystander;
  let cutImage: string;
  /** Of the last `prepare`, for its `finish`. */
  let subject: string;

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    const image = await node.busyboxImage({ extra: [{ name: "etc/cut", content: "short" }] });
    cutImage = await node.registry.push("cut", "latest", image);
    bystander = await Bystander.start(node);
  });
  afterAll(async () => {
    await using _node = node;
    await bystander.remove();
  });

  const containerOf = (command: string) => ({
    name: "subject",
    image: node.busybox,
    command: ["sh", "-c", command],
  });
  const podsNamed = async (name: string) => await node.crictl.pods("--name", name);
  const subjects = async () => await node.crictl.containers("--name", "subject");
  const inspect = async (id: string) => await node.crictl.containerStatus(id);
  const createSubject = async () => await bystander.pod.create(containerOf("exec sleep 1000"));
  const startSubject = async (command: string) => await bystander.pod.start(containerOf(command));
  const removeSubject = async (id: string) => {
    await node.crictl.must(["rm", "-f", id]);
    expect(await subjects()).toEqual([]);
  };

  const verbs: Interrupted[] = [
    {
      verb: "RunPodSandbox",
      moments: [0, 300, 1200],
      prepare: () => node.crictl.runPodArguments({ name: "cut" }),
      async finish() {
        const found = await podsNamed("cut");
        // Undone, or complete; its name is free in the first case.
        const id = found[0]?.id ?? (await node.crictl.runPod({ name: "cut" }));
        expect(await podsNamed("cut")).toMatchObject([{ id, state: "SANDBOX_READY" }]);
        await node.crictl.removePod(id);
      },
    },
    {
      verb: "StopPodSandbox",
      moments: [0, 100, 600],
      async prepare() {
        subject = await node.crictl.runPod({ name: "cut" });
        await node.crictl.start(subject, containerOf("exec sleep 1000"), { name: "cut" });
        return ["stopp", subject];
      },
      async finish() {
        await node.crictl.must(["stopp", subject], 120_000);
        expect(await podsNamed("cut")).toMatchObject([{ id: subject, state: "SANDBOX_NOTREADY" }]);
        const [container] = await subjects();
        const { state, exitCode } = await inspect(container?.id ?? "");
        expect(state).toBe("CONTAINER_EXITED");
        // Its own end by SIGKILL, or the VM's.
        expect([137, 255]).toContain(exitCode);
        await node.crictl.must(["rmp", subject]);
      },
    },
    {
      verb: "RemovePodSandbox",
      moments: [0, 100, 400],
      async prepare() {
        subject = await node.crictl.runPod({ name: "cut" });
        await node.crictl.start(subject, containerOf("exec sleep 1000"), { name: "cut" });
        return ["rmp", "-f", subject];
      },
      async finish() {
        // crictl says "not found" of what the restart has removed already.
        if ((await podsNamed("cut")).length > 0) await node.crictl.must(["rmp", "-f", subject]);
        expect(await podsNamed("cut")).toEqual([]);
        expect(await subjects()).toEqual([]);
      },
    },
    {
      verb: "CreateContainer",
      moments: [0, 50, 150],
      prepare: () => bystander.pod.createArguments(containerOf("exec sleep 1000")),
      async finish() {
        const [found] = await subjects();
        if (found !== undefined) expect(found.state).toBe("CONTAINER_CREATED");
        const id = found?.id ?? (await createSubject());
        await node.crictl.must(["start", id]);
        await expectEcho(node, id);
        await removeSubject(id);
      },
    },
    {
      verb: "StartContainer",
      moments: [0, 30, 100],
      async prepare() {
        subject = await createSubject();
        return ["start", subject];
      },
      async finish() {
        const { state } = await inspect(subject);
        expect(["CONTAINER_CREATED", "CONTAINER_RUNNING"]).toContain(state);
        if (state === "CONTAINER_CREATED") await node.crictl.must(["start", subject]);
        await expectEcho(node, subject);
        await removeSubject(subject);
      },
    },
    {
      verb: "ExecSync",
      moments: [0, 50, 500],
      async prepare() {
        subject = await startSubject("exec sleep 1000");
        return ["exec", "--sync", subject, "sh", "-c", "echo begun; sleep 1; echo done"];
      },
      async finish() {
        expect((await inspect(subject)).state).toBe("CONTAINER_RUNNING");
        await expectEcho(node, subject);
        await removeSubject(subject);
      },
    },
    {
      verb: "StopContainer",
      moments: [0, 500, 1050],
      async prepare() {
        subject = await startSubject(IGNORE_TERM);
        return ["stop", "--timeout", "1", subject];
      },
      async finish() {
        await node.crictl.must(["stop", "--timeout", "1", subject]);
        expect(await inspect(subject)).toMatchObject({ state: "CONTAINER_EXITED", exitCode: 137 });
        await removeSubject(subject);
      },
    },
    {
      verb: "RemoveContainer",
      moments: [0, 30, 100],
      async prepare() {
        subject = await startSubject("exec sleep 1000");
        return ["rm", "-f", subject];
      },
      async finish() {
        if ((await subjects()).length > 0) await removeSubject(subject);
        // Its name is free again.
        await removeSubject(await startSubject("exec sleep 1000"));
      },
    },
    {
      verb: "PullImage",
      moments: [0, 200, 600],
      prepare: async () => ["pull", cutImage],
      async finish() {
        const images = await node.crictl.images(cutImage);
        // Not there at all, or whole: a container can be made of it.
        if (images.length === 0) await node.crictl.must(["pull", cutImage], 120_000);
        const container = { ...containerOf("exec sleep 1000"), image: cutImage };
        const id = await bystander.pod.start(container);
        expect((await node.crictl.exec(id, ["cat", "/etc/cut"])).stdout).toBe("short");
        await removeSubject(id);
        await node.crictl.must(["rmi", cutImage]);
      },
    },
  ];

  it.each(verbs.flatMap((each) => each.moments.map((after) => ({ ...each, after }))))(
    "$verb, $after ms after it began",
    async ({ verb, after, prepare, finish }) => {
      const { box, crictl, daemon } = node;
      await daemon.killDuring(verb, after, crictlCommand(await prepare()));
      await daemon.start();
      expect((await inspect(bystander.container)).state).toBe("CONTAINER_RUNNING");
      await finish();
      expect(await tracesOfPods(box)).toEqual(bystander.traces);
      expect(await crictl.must(["ps", "-q", "--no-trunc"])).toBe(bystander.container);
    },
  );

  it("any of them, and the log of another container misses no line", async () => {
    await bystander.expectWholeLog(10);
  });
});
