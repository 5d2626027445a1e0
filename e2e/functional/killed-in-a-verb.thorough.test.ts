// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crictlCommand } from "../framework/crictl.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { tracesOfPods } from "../framework/traces.ts";

/** What crictl's lists and inspections say, as far as it matters here. */
interface Listed {
  readonly items?: readonly { readonly id: string; readonly state: string }[];
  readonly containers?: readonly { readonly id: string; readonly state: string }[];
  readonly images?: readonly { readonly repoTags: readonly string[] }[];
}
interface Inspected {
  readonly status: { readonly state: string; readonly exitCode?: number };
}

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

const COUNT = "i=0; while :; do echo line $i; i=$((i+1)); sleep 1; done";
const IGNORE_TERM = 'trap "" TERM; while :; do sleep 1; done';

describe("lightvmd killed with -9 in the middle of", () => {
  const pod = { name: "standing" };
  const bystander = { name: "bystander", image: "", command: ["sh", "-c", COUNT] };
  let node: NodeUnderTest;
  let standing: string;
  let counting: string;
  let traces: readonly string[];
  let cutImage: string;
  /** Of the last `prepare`, for its `finish`. */
  let subject: string;

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    await node.crictl.must(["pull", node.busybox], 120_000);
    const image = await node.busyboxImage({ extra: [{ name: "etc/cut", content: "short" }] });
    cutImage = await node.registry.push("cut", "latest", image);
    standing = await node.crictl.runPod(pod);
    counting = await node.crictl.start(standing, { ...bystander, image: node.busybox }, pod);
    traces = await tracesOfPods(node.box);
  });
  afterAll(async () => {
    await using _node = node;
    await node.crictl.removePod(standing);
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });

  const containerOf = (command: string) => ({
    name: "subject",
    image: node.busybox,
    command: ["sh", "-c", command],
  });
  const podsNamed = async (name: string) =>
    (await node.crictl.json<Listed>(["pods", "--name", name])).items ?? [];
  const subjects = async () =>
    (await node.crictl.json<Listed>(["ps", "-a", "--name", "subject"])).containers ?? [];
  const inspect = async (id: string) => (await node.crictl.json<Inspected>(["inspect", id])).status;
  const startSubject = async (command: string) =>
    await node.crictl.start(standing, containerOf(command), pod);
  const removeSubject = async (id: string) => {
    await node.crictl.must(["rm", "-f", id]);
    expect(await subjects()).toEqual([]);
  };
  const echoes = async (id: string) =>
    expect(await node.crictl.exec(id, ["echo", "alive"])).toMatchObject({
      code: 0,
      stdout: "alive\n",
    });

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
      prepare: () => node.crictl.createArguments(standing, containerOf("exec sleep 1000"), pod),
      async finish() {
        const [found] = await subjects();
        if (found !== undefined) expect(found.state).toBe("CONTAINER_CREATED");
        const id =
          found?.id ?? (await node.crictl.create(standing, containerOf("exec sleep 1000"), pod));
        await node.crictl.must(["start", id]);
        await echoes(id);
        await removeSubject(id);
      },
    },
    {
      verb: "StartContainer",
      moments: [0, 30, 100],
      async prepare() {
        subject = await node.crictl.create(standing, containerOf("exec sleep 1000"), pod);
        return ["start", subject];
      },
      async finish() {
        const { state } = await inspect(subject);
        expect(["CONTAINER_CREATED", "CONTAINER_RUNNING"]).toContain(state);
        if (state === "CONTAINER_CREATED") await node.crictl.must(["start", subject]);
        await echoes(subject);
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
        await echoes(subject);
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
        const { images = [] } = await node.crictl.json<Listed>(["images", cutImage]);
        // Not there at all, or whole: a container can be made of it.
        if (images.length === 0) await node.crictl.must(["pull", cutImage], 120_000);
        const container = { ...containerOf("exec sleep 1000"), image: cutImage };
        const id = await node.crictl.start(standing, container, pod);
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
      expect((await inspect(counting)).state).toBe("CONTAINER_RUNNING");
      await finish();
      expect(await tracesOfPods(box)).toEqual(traces);
      expect(await crictl.must(["ps", "-q", "--no-trunc"])).toBe(counting);
    },
  );

  it("any of them, and the log of another container misses no line", async () => {
    const log = await node.crictl.rawLog({ ...bystander, image: node.busybox }, pod);
    const numbers = [...log.matchAll(/ F line (\d+)$/gm)].map(([, number]) => Number(number));
    expect(numbers.length).toBeGreaterThan(10);
    expect(numbers).toEqual(numbers.map((_, index) => index));
  });
});
