// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls } from "node:tls";
import { constants, createDeflate } from "node:zlib";
import { SPDY_DICTIONARY } from "../../src/service/stream/spdy/dictionary.ts";
import { encodeFrame, type Frame, FrameDecoder } from "../../src/service/stream/spdy/frame.ts";

/** One stream of a SpdyClient: what has come, and its end. */
export interface ClientStream {
  readonly id: number;
  /** All that comes until the server ends the stream. */
  readonly text: Promise<string>;
  write(bytes: string | Buffer): void;
  /** Sends nothing more. */
  end(): void;
}

/** Test only: a client like client-go's, which neither keeps to windows nor announces any. */
export class SpdyClient implements Disposable {
  readonly socket: Socket;
  /** The protocol that the server has chosen. */
  readonly protocol: string | undefined;
  /** Frames that belong to no stream's data, as they came. */
  readonly frames: Frame[] = [];
  readonly #decoder = new FrameDecoder();
  readonly #deflate = createDeflate({ dictionary: SPDY_DICTIONARY });
  readonly #streams = new Map<number, { chunks: Buffer[]; ended: (text: string) => void }>();
  #nextId = 1;

  private constructor(socket: Socket, protocol: string | undefined, head: Buffer) {
    this.socket = socket;
    this.protocol = protocol;
    socket.on("data", (chunk) => this.#receive(chunk));
    socket.on("close", () => {
      for (const stream of this.#streams.values()) stream.ended(text(stream.chunks));
    });
    this.#receive(head);
  }

  /**
   * Asks for an upgrade; throws with the status line when there is none, and when there is no answer.
   * `credentials` are for https: whom the client believes, and who it is.
   */
  static async connect(
    url: string,
    protocols: readonly string[],
    credentials: ConnectionOptions = {},
  ): Promise<SpdyClient> {
    const { hostname, port, pathname, protocol: scheme } = new URL(url);
    const where = { host: hostname, port: Number(port) };
    const socket = scheme === "https:" ? connectTls({ ...where, ...credentials }) : connect(where);
    socket.on("error", () => undefined);
    const closed = once(socket, "close").then(() => {
      throw new Error("the server has closed the connection");
    });
    closed.catch(() => undefined);
    const lines = [
      `POST ${pathname} HTTP/1.1`,
      `Host: ${hostname}:${port}`,
      "Connection: Upgrade",
      "Upgrade: SPDY/3.1",
      ...protocols.map((protocol) => `X-Stream-Protocol-Version: ${protocol}`),
    ];
    socket.write(`${lines.join("\r\n")}\r\n\r\n`);
    let answer = Buffer.alloc(0);
    while (!answer.includes("\r\n\r\n")) {
      const [chunk] = (await Promise.race([once(socket, "data"), closed])) as [Buffer];
      answer = Buffer.concat([answer, chunk]);
    }
    const end = answer.indexOf("\r\n\r\n") + 4;
    const [status = "", ...headers] = answer.toString("latin1", 0, end).split("\r\n");
    if (!status.includes(" 101 ")) throw new Error([status, ...headers].join("\n").trim());
    const prefix = "x-stream-protocol-version: ";
    const chosen = headers.find((line) => line.toLowerCase().startsWith(prefix));
    return new SpdyClient(socket, chosen?.slice(prefix.length), answer.subarray(end));
  }

  async open(headers: Record<string, string>): Promise<ClientStream> {
    const id = this.#nextId;
    this.#nextId += 2;
    const { promise, resolve } = Promise.withResolvers<string>();
    this.#streams.set(id, { chunks: [], ended: resolve });
    const block = await this.#compress(headers);
    this.send({ type: "syn-stream", streamId: id, fin: false, block });
    return {
      id,
      text: promise,
      write: (bytes) => {
        this.send({ type: "data", streamId: id, fin: false, bytes: Buffer.from(bytes) });
      },
      end: () => this.send({ type: "data", streamId: id, fin: true, bytes: Buffer.alloc(0) }),
    };
  }

  /** What has come of a stream so far. */
  received(id: number): string {
    return text(this.#streams.get(id)?.chunks ?? []);
  }

  send(frame: Frame): void {
    this.socket.write(encodeFrame(frame));
  }

  [Symbol.dispose](): void {
    this.socket.destroy();
  }

  #receive(chunk: Buffer): void {
    for (const frame of this.#decoder.push(chunk)) {
      if (frame.type !== "data") {
        this.frames.push(frame);
        continue;
      }
      const stream = this.#streams.get(frame.streamId);
      stream?.chunks.push(Buffer.from(frame.bytes));
      if (frame.fin) stream?.ended(text(stream.chunks));
    }
  }

  /** One zlib stream for the whole connection, as the protocol has it. */
  async #compress(headers: Record<string, string>): Promise<Buffer> {
    const word = (value: string) => [number(value.length), Buffer.from(value, "latin1")];
    const pairs = Object.entries(headers).flatMap(([name, value]) => [
      ...word(name),
      ...word(value),
    ]);
    const chunks: Buffer[] = [];
    const collect = (chunk: Buffer) => chunks.push(chunk);
    this.#deflate.on("data", collect);
    this.#deflate.write(Buffer.concat([number(pairs.length / 4), ...pairs]));
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#deflate.flush(constants.Z_SYNC_FLUSH, () => resolve());
    await promise;
    this.#deflate.off("data", collect);
    return Buffer.concat(chunks);
  }
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString("latin1");
}
