// SPDX-License-Identifier: Apache-2.0
//
// Streams over TLS, from the CRI's answer to the exit code of a command in the guest.
import { once } from "node:events";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { Certificates } from "../harness/certificates.ts";
import { CriClient } from "../harness/cri-client.ts";
import { NodeBench } from "../harness/node-bench.ts";
import { SpdyClient } from "../harness/spdy-client.ts";

const V4 = ["v4.channel.k8s.io"];
const BYTES = 3_000_000;

let certificates: Certificates;
beforeAll(() => {
  certificates = new Certificates().authorities("ours", "other");
  certificates.issue("ours", "server", "client").issue("other", "stranger");
});
afterAll(() => certificates[Symbol.dispose]());

const trust = () => ({ ca: certificates.read("ours.pem") });

/** A node that streams over TLS, with a container to run commands in. */
async function serve(clientAuthority?: string) {
  const tls = {
    certificate_file: certificates.file("server.pem"),
    key_file: certificates.file("server.key"),
    ...(clientAuthority && { client_ca_file: certificates.file(clientAuthority) }),
  };
  const behaviour = { guest: "boots", runsContainers: true } as const;
  const bench = await NodeBench.start(behaviour, { streaming: { tls } });
  const cri = new CriClient(bench);
  const id = await cri.create(await cri.runPod(), { args: ["sleep"] });
  await cri.start(id);
  const execUrl = async (script: string) =>
    await cri.execUrl(id, ["run", "sh", "-c", script], { stdin: true, stdout: true });
  return { execUrl, [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose]() };
}

/** Runs a command as client-go does; returns its output and what is said of its end. */
async function overSpdy(url: string, credentials: object, input: Buffer | string) {
  using client = await SpdyClient.connect(url, V4, credentials);
  const error = await client.open({ streamtype: "error" });
  const stdin = await client.open({ streamtype: "stdin" });
  const stdout = await client.open({ streamtype: "stdout" });
  stdin.write(input);
  stdin.end();
  return { output: await stdout.text, status: JSON.parse(await error.text) };
}

/** The same as newer clients do it. */
async function overWebSocket(url: string, credentials: object, input: string) {
  const address = url.replace("https:", "wss:");
  const socket = new WebSocket(address, ["v5.channel.k8s.io"], credentials);
  const channels: Record<number, string> = {};
  socket.on("message", (message: Buffer) => {
    const [channel = 0] = message;
    channels[channel] = (channels[channel] ?? "") + message.toString("latin1", 1);
  });
  await once(socket, "open");
  socket.send(Buffer.from(`\0${input}`));
  socket.send(Buffer.of(255, 0));
  await once(socket, "close");
  return { output: channels[1], status: JSON.parse(channels[3] ?? "") };
}

describe("exec over TLS", () => {
  it("carries everything, to any client that believes the server", async () => {
    await using node = await serve();
    const url = await node.execUrl("wc -c; exit 7");
    expect(url).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/exec\//);
    const { output, status } = await overSpdy(url, trust(), Buffer.alloc(BYTES, "x"));
    expect(output.trim()).toBe(String(BYTES));
    expect(status).toMatchObject({ details: { causes: [{ message: "7" }] } });
    expect(await overWebSocket(await node.execUrl("cat"), trust(), "hello")).toMatchObject({
      output: "hello",
      status: { status: "Success" },
    });
  });

  it("is not for clients that believe another, or speak in the clear", async () => {
    await using node = await serve();
    const url = await node.execUrl("cat");
    const ca = certificates.read("other.pem");
    await expect(overSpdy(url, { ca }, "")).rejects.toThrow(/certificate/);
    await expect(overSpdy(url.replace("https:", "http:"), {}, "")).rejects.toThrow();
    expect(await overSpdy(url, trust(), "still there")).toMatchObject({ output: "still there" });
  });

  it("is only for clients whose certificate the node's authority has signed", async () => {
    await using node = await serve("ours.pem");
    const url = await node.execUrl("cat");
    const stranger = { ...trust(), ...certificates.identity("stranger") };
    for (const credentials of [trust(), stranger]) {
      await expect(overSpdy(url, credentials, "")).rejects.toThrow();
      await expect(overWebSocket(url, credentials, "")).rejects.toThrow();
    }
    // Whoever was refused has not used up what the URL is good for.
    const client = { ...trust(), ...certificates.identity("client") };
    expect(await overSpdy(url, client, "hello")).toMatchObject({
      output: "hello",
      status: { status: "Success" },
    });
    expect(await overWebSocket(await node.execUrl("cat"), client, "again")).toMatchObject({
      output: "again",
    });
  });
});
