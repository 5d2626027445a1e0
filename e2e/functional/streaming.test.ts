// SPDX-License-Identifier: Apache-2.0
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { quoted } from "../framework/crictl.ts";
import { NodeUnderTest } from "../framework/node-under-test.ts";
import { PodUnderTest } from "../framework/pod-under-test.ts";

/** Under emulation and beside other work, a crictl call alone takes seconds. */
const SLOW = { timeoutMs: 180_000 };

describe("crictl, which streams as kubelet does,", () => {
  let node: NodeUnderTest;
  let pod: PodUnderTest;
  let main: string;
  beforeAll(async () => {
    node = await NodeUnderTest.start();
    pod = await PodUnderTest.run(node, { name: "streams" });
    main = await start("main", "while :; do busybox nc -l -p 7000 -e cat; done");
  });
  afterAll(async () => {
    await pod.remove();
    await node[Symbol.asyncDispose]();
  });

  const start = async (name: string, script: string, more: Record<string, unknown> = {}) => {
    const command = ["sh", "-c", script];
    return await pod.start({ name, command, more });
  };
  const inBox = async (script: string) => await node.box.exec(script, SLOW);

  it.each(["spdy", "websocket"])("executes over %s", async (transport) => {
    const exec = `crictl exec --transport ${transport}`;
    const command = quoted("cat; echo err >&2; exit 7");
    const outcome = await inBox(`printf 'some input' | ${exec} -i ${main} sh -c ${command}`);
    expect(outcome).toMatchObject({ code: 1, stdout: "some input" });
    expect(outcome.stderr).toMatch(/^err$/m);
    expect(outcome.stderr).toMatch(/exit code 7/);
  });

  it("gives a command a terminal of the client's size", async () => {
    // The size comes behind the start, as with every runtime; until then stty fails with exit code 0.
    const inPod = "tty; until busybox stty size 2>/dev/null | grep .; do sleep 1; done";
    const command = `stty rows 33 cols 111; crictl exec -it ${main} sh -c ${quoted(inPod)}`;
    const { stdout } = await inBox(`script -qec ${quoted(command)} /dev/null </dev/null`);
    expect(stdout).toContain("33 111\r\n");
    expect(stdout).toContain("/dev/pts/");
  });

  it("moves 10 MB each way unharmed", async () => {
    const script = [
      "head -c 10000000 /dev/urandom >/tmp/blob",
      "md5sum </tmp/blob",
      `crictl exec -i ${main} busybox md5sum </tmp/blob`,
      "seq 1 1300000 | md5sum",
      `crictl exec ${main} seq 1 1300000 | md5sum`,
      "rm /tmp/blob",
    ];
    const sums = (await inBox(script.join("\n"))).stdout.trim().split("\n");
    expect(sums).toHaveLength(4);
    expect([sums[1], sums[3]]).toEqual([sums[0], sums[2]]);
  });

  it("attaches to a container, whose output is logged all the same", async () => {
    const script = "while read line; do echo got $line; done; exit 4";
    const id = await start("reader", script, { stdin: true, stdin_once: true });
    const { stdout } = await inBox(`(echo one; sleep 1; echo two) | crictl attach -i ${id}`);
    expect(stdout).toBe("got one\ngot two\n");
    expect(await node.crictl.must(["logs", id])).toBe("got one\ngot two");
    const status = async () => await node.crictl.containerStatus(id);
    await expect.poll(status, { timeout: 60_000 }).toMatchObject({ exitCode: 4 });
  });

  it("forwards a port", async () => {
    const script = [
      `crictl port-forward ${pod.id} 17000:7000 >/tmp/forward.log & forward=$!`,
      "until grep -q Forwarding /tmp/forward.log; do sleep 1; done",
      "printf 'there and back' | timeout 60 busybox nc 127.0.0.1 17000",
      "kill $forward; wait $forward 2>/dev/null; rm /tmp/forward.log",
    ];
    expect((await inBox(script.join("\n"))).stdout).toBe("there and back");
  });

  it("ends a terminal's session when it leaves", async () => {
    const command = `crictl exec -it ${main} sleep 4242`;
    const listed = `crictl exec ${main} ps | grep -q '[s]leep 4242'`;
    const script = [
      `script -qec ${quoted(command)} /dev/null </dev/null >/dev/null & client=$!`,
      `until ${listed}; do :; done`,
      // By name, not by command line: this script's own names the command as well.
      "pkill -KILL -x crictl; kill -KILL $client",
      `while ${listed}; do :; done`,
      "echo gone",
    ];
    expect((await inBox(script.join("\n"))).stdout).toBe("gone\n");
  });

  it("misses no line of a log that is reopened while it is written", async () => {
    const log = "/var/log/pods/default_streams/writer_0.log";
    const count = "n=0; until [ -e /stop ]; do n=$((n+1)); echo $n; done; echo end";
    const id = await start("writer", count);
    const script = [
      "for n in 1 2 3; do",
      `  mv ${log} ${log}.$n; crictl logs --reopen --tail 1 ${id} >/dev/null 2>&1`,
      "done",
      `crictl exec ${id} touch /stop`,
      `until grep -q ' end$' ${log}; do sleep 1; done`,
      `wc -l ${log}.1 ${log}.2 ${log}.3 | awk '{ print ($1 > 0) }'`,
      `cat ${log}.1 ${log}.2 ${log}.3 ${log} | awk '$4 != NR { print $4; exit }'`,
    ];
    // Each file has some lines, and the first that is not one more than the one before is the last.
    expect((await inBox(script.join("\n"))).stdout).toBe("1\n1\n1\n1\nend\n");
  });
});
