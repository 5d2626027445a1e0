// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { type AddressInfo, connect, createServer, type Server } from "node:net";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { CriClient } from "../harness/cri-client.ts";
import { NodeBench } from "../harness/node-bench.ts";
import { type ClientStream, SpdyClient } from "../harness/spdy-client.ts";

/** Under load, everything takes its time. */
const SOON = { timeout: 20_000 };
const V4 = ["v4.channel.k8s.io", "v3.channel.k8s.io"];

let bench: NodeBench;
let cri: CriClient;
let pod: string;
let container: string;
beforeAll(async () => {
  bench = await NodeBench.start({ guest: "boots", runsContainers: true });
  cri = new CriClient(bench);
  pod = await cri.runPod();
  container = await cri.create(pod, { args: ["sleep"], stdin: true, stdinOnce: true });
  await cri.start(container);
});
afterAll(async () => await bench[Symbol.asyncDispose]());

type Streams = Record<"error" | "stdin" | "stdout" | "stderr" | "resize", ClientStream>;

/** Opens the streams of a command, as client-go does. */
async function open<Type extends keyof Streams>(
  client: SpdyClient,
  ...types: Type[]
): Promise<Pick<Streams, Type | "error">> {
  const streams: Partial<Streams> = {};
  for (const type of ["error", ...types] as const) {
    streams[type] = await client.open({ streamtype: type });
  }
  return streams as Pick<Streams, Type | "error">;
}

const OUTPUTS = { stdout: true, stderr: true };

describe("exec over SPDY", () => {
  it("carries the output and the exit code", async () => {
    const url = await cri.execUrl(
      container,
      ["run", "sh", "-c", "echo a; echo b >&2; exit 7"],
      OUTPUTS,
    );
    expect(url).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/exec\/[\w-]{8}$/);
    using client = await SpdyClient.connect(url, V4);
    expect(client.protocol).toBe("v4.channel.k8s.io");
    const { stdout, stderr, error } = await open(client, "stdout", "stderr");
    expect([await stdout.text, await stderr.text]).toEqual(["a\n", "b\n"]);
    expect(JSON.parse(await error.text)).toMatchObject({
      status: "Failure",
      reason: "NonZeroExitCode",
      details: { causes: [{ reason: "ExitCode", message: "7" }] },
    });
  });

  it("tells older clients in text", async () => {
    for (const [protocols, chosen] of [
      [["channel.k8s.io"], "channel.k8s.io"],
      [[], undefined],
    ] as const) {
      const url = await cri.execUrl(container, ["run", "sh", "-c", "exit 3"], OUTPUTS);
      using client = await SpdyClient.connect(url, protocols);
      expect(client.protocol).toBe(chosen);
      const { error } = await open(client, "stdout", "stderr");
      expect(await error.text).toMatch(/exit status 3$/);
    }
    const url = await cri.execUrl(container, ["run", "true"], OUTPUTS);
    await expect(SpdyClient.connect(url, ["v9.channel.k8s.io"])).rejects.toThrow(
      /403.*v4\.channel\.k8s\.io/s,
    );
  });

  it("passes the end of the input on, and megabytes before it", async () => {
    const url = await cri.execUrl(container, ["run", "md5sum"], { stdin: true, stdout: true });
    using client = await SpdyClient.connect(url, V4);
    const { stdin, stdout, error } = await open(client, "stdin", "stdout");
    for (let count = 0; count < 64; count += 1) stdin.write(Buffer.alloc(256 * 1024, "x"));
    stdin.end();
    const expected = createHash("md5")
      .update(Buffer.alloc(16 * 1024 * 1024, "x"))
      .digest("hex");
    expect(await stdout.text).toBe(`${expected}  -\n`);
    expect(JSON.parse(await error.text)).toEqual({ metadata: {}, status: "Success" });
  });

  it("tells a terminal's size", async () => {
    const url = await cri.execUrl(container, ["terminal"], { tty: true, stdout: true });
    using client = await SpdyClient.connect(url, V4);
    const { resize, stdout } = await open(client, "stdout", "resize");
    // Of sizes that come before the command runs only the last one matters.
    resize.write('{"Width":7,"Height":7}\n{"Width":80,"Height":24}\n');
    await expect.poll(() => client.received(stdout.id), SOON).toMatch(/80x24\n$/);
    resize.write('{"Width":100,"Height":50}\n');
    await expect.poll(() => client.received(stdout.id), SOON).toMatch(/80x24\n100x50\n$/);
  });

  it("says why a command did not run", async () => {
    const url = await cri.execUrl(container, ["missing"], OUTPUTS);
    using client = await SpdyClient.connect(url, V4);
    const { error, stdout } = await open(client, "stdout", "stderr");
    expect(await stdout.text).toBe("");
    expect(JSON.parse(await error.text)).toMatchObject({
      status: "Failure",
      reason: "InternalError",
      message: expect.stringMatching(/the image has no "missing"/),
    });
  });

  it("ends what writes to a client that has left", async () => {
    const mark = join(bench.toolstackBench.root, "over");
    const script = `while echo x; do :; done 2>/dev/null; echo over >${mark}`;
    const url = await cri.execUrl(container, ["run", "sh", "-c", `trap '' PIPE; ${script}`], {
      stdout: true,
    });
    const client = await SpdyClient.connect(url, V4);
    const { stdout } = await open(client, "stdout");
    await expect.poll(() => client.received(stdout.id).length, SOON).toBeGreaterThan(10_000);
    client.socket.destroy();
    await expect.poll(() => existsSync(mark), SOON).toBe(true);
  });

  it("keeps to the windows of a client that has some", async () => {
    const command = ["run", "sh", "-c", "head -c 300000 /dev/zero | tr '\\0' z"];
    const url = await cri.execUrl(container, command, { stdout: true });
    using client = await SpdyClient.connect(url, V4);
    client.send({ type: "settings", settings: new Map([[7, 1000]]) });
    const { stdout } = await open(client, "stdout");
    await expect.poll(() => client.received(stdout.id).length, SOON).toBe(1000);
    client.send({ type: "window-update", streamId: stdout.id, delta: 500 });
    await expect.poll(() => client.received(stdout.id).length, SOON).toBe(1500);
    client.send({ type: "window-update", streamId: stdout.id, delta: 1_000_000 });
    expect((await stdout.text).length).toBe(300_000);
  });

  it("answers pings and refuses what it does not know", async () => {
    const url = await cri.execUrl(container, ["sleep"], { stdout: true });
    using client = await SpdyClient.connect(url, V4);
    client.send({ type: "ping", id: 7 });
    const other = await client.open({ streamtype: "nonsense" });
    await expect
      .poll(() => client.frames)
      .toEqual([
        { type: "ping", id: 7 },
        { type: "rst-stream", streamId: other.id, status: 3 },
      ]);
  });
});

describe("a URL", () => {
  it("serves once, and only what it is for", async () => {
    const url = await cri.execUrl(container, ["run", "true"], OUTPUTS);
    const attach = url.replace("/exec/", "/attach/");
    await expect(SpdyClient.connect(attach, V4)).rejects.toThrow(/404/);
    using client = await SpdyClient.connect(url, V4);
    await expect(SpdyClient.connect(url, V4)).rejects.toThrow(/404/);
    await expect(SpdyClient.connect(`${url}/x`, V4)).rejects.toThrow(/404/);
    expect((await fetch(url)).status).toBe(400);
    expect(client.protocol).toBe(V4[0]);
  });

  it("is only given for what can be had", async () => {
    const bad = async (wants: object, code: status) =>
      await expect(cri.execUrl(container, ["run", "true"], wants)).rejects.toMatchObject({ code });
    await bad({}, status.INVALID_ARGUMENT);
    await bad({ tty: true, stderr: true }, status.INVALID_ARGUMENT);
    await expect(cri.execUrl(container, [], OUTPUTS)).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
    await expect(cri.execUrl("nobody", ["run"], OUTPUTS)).rejects.toMatchObject({
      code: status.NOT_FOUND,
    });
    const created = await cri.create(pod, { args: ["sleep"], name: "created" });
    for (const asked of [cri.execUrl(created, ["run"], OUTPUTS), cri.attachUrl(created, OUTPUTS)]) {
      await expect(asked).rejects.toMatchObject({ code: status.FAILED_PRECONDITION });
    }
    await expect(cri.portForwardUrl(pod, [0])).rejects.toMatchObject({
      code: status.INVALID_ARGUMENT,
    });
  });

  it("withstands whatever comes over it", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), async (garbage) => {
        const url = new URL(await cri.execUrl(container, ["run", "true"], OUTPUTS));
        const socket = connect(Number(url.port), url.hostname);
        socket.on("error", () => undefined);
        socket.write(`POST ${url.pathname} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n`);
        socket.write("Upgrade: SPDY/3.1\r\n\r\n");
        socket.end(garbage);
        socket.resume();
        await once(socket, "close");
      }),
      { numRuns: 40 },
    );
    expect((await cri.exec(container, ["echo", "alive"])).stdout.toString()).toBe("alive");
  });
});

describe("attach", () => {
  it("joins several clients, and ends the container's input with the one that gives it", async () => {
    const once = await cri.create(pod, {
      args: ["sleep"],
      name: "once",
      stdin: true,
      stdinOnce: true,
    });
    await cri.start(once);
    using watcher = await SpdyClient.connect(await cri.attachUrl(once, { stdout: true }), V4);
    const watched = await open(watcher, "stdout");
    const url = await cri.attachUrl(once, { stdin: true, stdout: true });
    using giver = await SpdyClient.connect(url, V4);
    const given = await open(giver, "stdin", "stdout");
    given.stdin.write("hello ");
    await expect.poll(() => watcher.received(watched.stdout.id), SOON).toBe("hello ");
    given.stdin.write("all");
    given.stdin.end();
    expect(await Promise.all([watched.stdout.text, given.stdout.text])).toEqual([
      "hello all",
      "hello all",
    ]);
    expect(JSON.parse(await given.error.text)).toMatchObject({ status: "Success" });
    await expect.poll(async () => (await cri.containerStatus(once)).exitCode, SOON).toBe(0);
  });

  it("is over with the client's input when others may follow", async () => {
    const shared = await cri.create(pod, { args: ["sleep"], name: "shared", stdin: true });
    await cri.start(shared);
    const url = await cri.attachUrl(shared, { stdin: true, stdout: true });
    using client = await SpdyClient.connect(url, V4);
    const { stdin, stdout, error } = await open(client, "stdin", "stdout");
    stdin.write("text");
    await expect.poll(() => client.received(stdout.id), SOON).toBe("text");
    stdin.end();
    expect(JSON.parse(await error.text)).toMatchObject({ status: "Success" });
    expect((await cri.exec(shared, ["echo", "alive"])).stdout.toString()).toBe("alive");
  });
});

describe("port-forward over SPDY", () => {
  let server: Server;
  let port: number;
  beforeAll(async () => {
    server = createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket));
    await once(server.listen(0, "127.0.0.1"), "listening");
    port = (server.address() as AddressInfo).port;
  });
  afterAll(() => server.close());

  const pair = async (client: SpdyClient, to: number, requestid: string) => {
    const headers = { port: String(to), requestid };
    const error = await client.open({ ...headers, streamtype: "error" });
    error.end();
    return { error, data: await client.open({ ...headers, streamtype: "data" }) };
  };

  it("connects to any port, several times, each direction with its own end", async () => {
    const url = await cri.portForwardUrl(pod, []);
    using client = await SpdyClient.connect(url, ["portforward.k8s.io"]);
    const first = await pair(client, port, "1");
    const second = await pair(client, port, "2");
    first.data.write("one");
    second.data.write(Buffer.alloc(500_000, "2"));
    second.data.end();
    expect((await second.data.text).length).toBe(500_000);
    first.data.end();
    expect([await first.data.text, await first.error.text]).toEqual(["one", ""]);
  });

  it("says that nobody listens", async () => {
    const url = await cri.portForwardUrl(pod, []);
    using client = await SpdyClient.connect(url, ["portforward.k8s.io"]);
    const { data, error } = await pair(client, 1, "1");
    expect(await error.text).toMatch(/ECONNREFUSED/);
    expect(await data.text).toBe("");
    await client.open({ streamtype: "data", port: "99999", requestid: "2" });
    await expect.poll(() => client.frames.at(-1), SOON).toMatchObject({ type: "rst-stream" });
  });

  it("has two channels for each port over WebSocket", async () => {
    const url = (await cri.portForwardUrl(pod, [port])).replace("http:", "ws:");
    const socket = new WebSocket(url, ["v4.channel.k8s.io"]);
    const messages: Buffer[] = [];
    socket.on("message", (message: Buffer) => messages.push(message));
    await once(socket, "open");
    socket.send(Buffer.from("\0ping"));
    const number = [port & 0xff, port >>> 8];
    await expect.poll(() => messages.length, SOON).toBe(3);
    expect(messages.slice(0, 2)).toEqual([Buffer.of(0, ...number), Buffer.of(1, ...number)]);
    expect(messages[2]?.toString()).toBe("\0ping");
    socket.close();
    await once(socket, "close");
  });
});

describe("exec over WebSocket", () => {
  const run = async (url: string, protocol: string, act: (socket: WebSocket) => void) => {
    const socket = new WebSocket(url.replace("http:", "ws:"), [protocol]);
    const channels: Record<number, string> = {};
    socket.on("message", (message: Buffer) => {
      const [channel = 0] = message;
      channels[channel] = (channels[channel] ?? "") + message.toString("latin1", 1);
    });
    socket.on("open", () => act(socket));
    const [code] = (await once(socket, "close")) as [number];
    return { channels, code, protocol: socket.protocol };
  };

  it("carries input, output, status", async () => {
    const url = await cri.execUrl(container, ["run", "cat"], { stdin: true, stdout: true });
    const outcome = await run(url, "v5.channel.k8s.io", (socket) => {
      socket.send(Buffer.from("\0some input"));
      socket.send(Buffer.of(255, 0));
    });
    expect(outcome).toMatchObject({
      protocol: "v5.channel.k8s.io",
      code: 1000,
      channels: { 1: "some input" },
    });
    expect(JSON.parse(outcome.channels[3] ?? "")).toMatchObject({ status: "Success" });
  });

  it("cannot end the input in version 4", async () => {
    const command = ["run", "sh", "-c", "read line; echo $line >&2; exit 2"];
    const url = await cri.execUrl(container, command, { stdin: true, stderr: true });
    const outcome = await run(url, "v4.channel.k8s.io", (socket) => {
      socket.send(Buffer.of(255, 0));
      socket.send(Buffer.from("\0line\n"));
    });
    expect(outcome.channels[2]).toBe("line\n");
    expect(JSON.parse(outcome.channels[3] ?? "").details.causes[0].message).toBe("2");
  });

  it("is refused when no protocol fits", async () => {
    const url = await cri.execUrl(container, ["run", "true"], OUTPUTS);
    const socket = new WebSocket(url.replace("http:", "ws:"), ["chat"]);
    const [error] = (await once(socket, "error")) as [Error];
    expect(error.message).toMatch(/403/);
  });
});
