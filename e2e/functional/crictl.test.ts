// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { crictlCommand, quoted } from "../framework/crictl.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";
import { ACCOUNT, Registry } from "../framework/registry.ts";
import { tracesOfPods } from "../framework/traces.ts";

interface FileSystem {
  readonly status: {
    readonly imageFilesystems: readonly { readonly usedBytes: { readonly value: string } }[];
  };
}

/**
 * Each command of crictl once, as somebody at a node types them. What lies behind the commands has
 * its own tests; this is about every one of them being of use.
 */
describe("crictl", () => {
  /** Repeats its input, and ends with it. */
  const talk = "echo out; echo err >&2; while read line; do echo got $line; done; exit 3";
  let node: NodeUnderTest;
  let sandbox: string;
  let talker: string;

  beforeAll(async () => {
    node = await NodeUnderTest.start();
    const pod = await PodUnderTest.run(node, { name: "commands", labels: { app: "commands" } });
    sandbox = pod.id;
    const more = { stdin: true, stdin_once: true };
    talker = await pod.start({ name: "talker", command: ["sh", "-c", talk], more });
  });
  afterAll(async () => {
    await node.crictl.run(["rmp", "-f", sandbox], 120_000);
    await node[Symbol.asyncDispose]();
  });

  const inBox = async (script: string) => await node.box.exec(script, { timeoutMs: 180_000 });
  const must = async (...words: string[]) => await node.crictl.must(words, 120_000);
  const ids = async (...words: string[]) =>
    (await must(...words)).split("\n").filter((line) => line !== "");

  it("version, info, runtime-config: says what runs here", async () => {
    expect(await must("version")).toMatch(/RuntimeName: +lightvm[\s\S]*RuntimeApiVersion: +v1/);
    expect(await node.crictl.conditions()).toMatchObject([
      { type: "RuntimeReady", status: true },
      { type: "NetworkReady", status: true },
    ]);
    expect(await must("runtime-config")).toMatch(/cgroup driver: +(CGROUPFS|SYSTEMD)/);
  });

  it("update-runtime-config: gives the node its range of addresses", async () => {
    const { code, stderr } = await node.crictl.run([
      ...["update-runtime-config", "--pod-cidr", "10.88.0.0/16"],
    ]);
    expect(stderr).toContain("successfully updated");
    expect(code).toBe(0);
  });

  it("pull: with a password, given as two words or as one string", async () => {
    await using closed = await Registry.start(node.box, { port: 5001, account: ACCOUNT });
    const directory = `/etc/lightvm/certs.d/${closed.host}`;
    const input = `server = "http://${closed.host}"\n`;
    await node.box.exec(`mkdir -p ${directory} && cat >${directory}/hosts.toml`, { input });
    const image = await node.busyboxImage({ extra: [{ name: "etc/private", content: "yes" }] });
    const reference = await closed.push("private", "latest", image);
    const login = `${ACCOUNT.username}:${ACCOUNT.password}`;
    expect((await node.crictl.run(["pull", reference])).stderr).toContain("Unauthenticated");
    await must("pull", "--creds", login, reference);
    await must("rmi", reference);
    await must("pull", "--auth", btoa(login), reference);
    await must("rmi", reference);
    await inBox(`rm -r ${directory}`);
  });

  it("images, inspecti, imagefsinfo: shows what is stored", async () => {
    const images = await node.crictl.images();
    const [stored] = images.filter(({ repoTags }) => repoTags.includes(node.busybox));
    const inspected = await node.crictl.json<{ status: { id: string } }>([
      ...["inspecti", node.busybox],
    ]);
    expect(inspected.status.id).toBe(stored?.id);
    const { status } = await node.crictl.json<FileSystem>(["imagefsinfo"]);
    expect(Number(status.imageFilesystems[0]?.usedBytes.value)).toBeGreaterThan(100_000);
  });

  it("pods, inspectp: finds a pod by name, label and state", async () => {
    for (const filter of [
      ["--name", "^commands$"],
      ["--label", "app=commands"],
      ["--state", "ready"],
      ["--latest"],
    ]) {
      expect(await ids("pods", "-q", "--no-trunc", ...filter)).toEqual([sandbox]);
    }
    expect(await ids("pods", "-q", "--state", "notready")).toEqual([]);
    expect(await must("inspectp", sandbox)).toMatch(/"ip": "10\.88\./);
  });

  it("ps, inspect: finds a container by pod, image, name and state", async () => {
    for (const filter of [
      ["--pod", sandbox],
      ["--image", node.busybox],
      ["--name", "talker"],
      ["--state", "running"],
    ]) {
      expect(await ids("ps", "-q", "--no-trunc", ...filter)).toEqual([talker]);
    }
    expect((await node.crictl.containerStatus(talker)).state).toBe("CONTAINER_RUNNING");
  });

  it("exec -s, exec -it: runs a command beside it", async () => {
    const sync = await node.crictl.exec(talker, ["sh", "-c", "echo here; echo there >&2"]);
    // crictl prints both one behind the other.
    expect(sync.stdout.trim().split(/\n+/)).toEqual(["here", "there"]);
    const command = crictlCommand(["exec", "-it", talker, "busybox", "tty"]);
    const { stdout } = await inBox(`script -qec ${quoted(command)} /dev/null </dev/null`);
    expect(stdout).toContain("/dev/pts/");
  });

  it("port-forward: reaches a server in the pod", async () => {
    const server = "busybox nc -l -p 7000 -e echo forwarded";
    const script = [
      `crictl exec ${talker} sh -c ${quoted(server)} & server=$!`,
      `until crictl exec -s ${talker} busybox grep -q :1B58 /proc/net/tcp /proc/net/tcp6 >/dev/null; do :; done`,
      `crictl port-forward ${sandbox} 17000:7000 >/tmp/forward.log & forward=$!`,
      "until grep -q Forwarding /tmp/forward.log; do sleep 1; done",
      "timeout 60 busybox nc 127.0.0.1 17000 </dev/null",
      "kill $forward; wait $forward $server 2>/dev/null; rm /tmp/forward.log",
    ];
    expect((await inBox(script.join("\n"))).stdout).toBe("forwarded\n");
  });

  it("update: bounds it anew", async () => {
    await must("update", "--memory", String(24 * 1024 * 1024), "--cpu-share", "512", talker);
    const max = await node.crictl.exec(talker, ["cat", "/sys/fs/cgroup/memory.max"]);
    expect(max.stdout).toBe(`${24 * 1024 * 1024}\n`);
  });

  it("stats, statsp, metricdescs, metricsp: tells what is used", async () => {
    expect(await must("stats", "--id", talker)).toContain("talker");
    expect(await must("statsp", "--id", sandbox)).toContain("commands");
    expect(await must("metricdescs")).toContain("container_memory_working_set_bytes");
    expect(await must("metricsp")).toContain("container_memory_working_set_bytes");
  });

  it("checkpoint: is refused, not pretended", async () => {
    const { code, stderr } = await node.crictl.run([
      ...["checkpoint", "--export", "/tmp/checkpoint.tar", talker],
    ]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("Unimplemented");
  });

  it("attach, logs, logs -f, events: hears it to its end", async () => {
    const events = "/run/events.json";
    const script = [
      `crictl events -o json >${events} 2>&1 & events=$!`,
      `crictl logs -f ${talker} >/tmp/followed 2>/tmp/followed.err & follower=$!`,
      // The container's input ends with the client's, and the container with it.
      `printf 'one\\ntwo\\n' | crictl attach -i ${talker}`,
      "wait $follower",
      "cat /tmp/followed; cat /tmp/followed.err >&2",
      `timeout 60 sh -c 'tail -n +1 -f ${events} | grep -q -m 1 STOPPED'; kill $events`,
      `rm ${events} /tmp/followed /tmp/followed.err`,
    ];
    const { stdout, stderr } = await inBox(script.join("\n"));
    // Attached, then followed.
    expect(stdout).toBe("got one\ngot two\nout\ngot one\ngot two\n");
    expect(stderr).toMatch(/^err$/m);
    expect(await must("logs", "--tail", "1", talker)).toBe("got two");
    const { stdout: err } = await inBox(`crictl logs -s stderr ${talker} 2>&1`);
    expect(err).toBe("err\n");
    expect(await must("logs", "-t", "--tail", "1", talker)).toMatch(/^\d{4}-\S+ got two$/);
  });

  it("stop, rm, run: replaces it by another", async () => {
    await must("stop", talker);
    expect((await node.crictl.containerStatus(talker)).state).toBe("CONTAINER_EXITED");
    await must("rm", talker);
    expect(await ids("ps", "-a", "-q")).toEqual([]);
    const other = { name: "other" };
    const container = { name: "runner", image: node.busybox, command: ["sleep", "1000"] };
    const [, , ...files] = await node.crictl.createArguments("", container, other);
    const id = await must("run", "--no-pull", ...files);
    expect(await ids("ps", "-q", "--no-trunc")).toEqual([id]);
  });

  it("stopp, rmp: takes one pod, rmp -fa all that there are", async () => {
    await must("stopp", sandbox);
    expect(await ids("pods", "-q", "--no-trunc", "--state", "notready")).toEqual([sandbox]);
    await must("rmp", sandbox);
    expect(await ids("pods", "-q")).toHaveLength(1);
    await must("rmp", "-fa");
    expect(await ids("pods", "-q")).toEqual([]);
    expect(await tracesOfPods(node.box)).toEqual(node.tracesBefore);
  });

  it("rmi, rmi --prune: takes one image, and all that nobody uses", async () => {
    const image = await node.busyboxImage({ extra: [{ name: "etc/second", content: "" }] });
    const second = await node.registry.push("second", "latest", image);
    await must("pull", second);
    expect(await must("rmi", second)).toContain(second);
    expect(await ids("images", "-q")).toHaveLength(1);
    expect(await must("rmi", "--prune")).toContain(node.busybox);
    expect(await ids("images", "-q")).toEqual([]);
  });
});
