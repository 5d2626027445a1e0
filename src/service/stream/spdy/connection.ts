// SPDX-License-Identifier: Apache-2.0
import type { Duplex } from "node:stream";
import { describeError } from "../../../shared/errors.ts";
import {
  encodeDataHeader,
  encodeFrame,
  type Frame,
  FrameDecoder,
  RST_CANCEL,
  RST_FLOW_CONTROL_ERROR,
  RST_INVALID_STREAM,
  RST_REFUSED_STREAM,
  SETTINGS_INITIAL_WINDOW_SIZE,
} from "./frame.ts";
import { HeaderDecoder, HeaderEncoder } from "./header-block.ts";
import { INITIAL_WINDOW_BYTES, SpdyStream, type StreamCarrier } from "./stream.ts";

// The clients that matter (client-go, by way of moby/spdystream) neither keep to windows nor announce
// any. So a client is held back by not reading its connection while one of its streams is full, and
// its windows are kept to from the moment at which it first speaks of one. A client that keeps to ours
// is told of credit as it is consumed.

/** Streams of one client at once; more are refused. */
const MAX_STREAMS = 256;
/** Bytes that a client may leave unread: a chunk of each stream, and answers to its pings. */
const MAX_UNSENT_BYTES = 32 * 1024 * 1024;
/** How long a client may take to close its side after we have closed ours. */
const LINGER_MS = 5000;
/** How long a client that has got everything may take to read it and leave. */
const FAREWELL_MS = 10 * 60 * 1000;
const GO_AWAY_OK = 0;
const GO_AWAY_PROTOCOL_ERROR = 1;

export interface SpdyConnectionOptions {
  /** Called for each stream that the client opens; false refuses it. */
  readonly accept: (stream: SpdyStream) => boolean;
}

/** The server's side of one SPDY/3.1 connection over `socket`, which it owns. */
export class SpdyConnection {
  /** Resolves when the connection is over, with the reason unless all went well; never rejects. */
  readonly ended: Promise<string | undefined>;
  readonly #socket: Duplex;
  readonly #options: SpdyConnectionOptions;
  readonly #decoder = new FrameDecoder();
  readonly #headerDecoder = new HeaderDecoder();
  readonly #headerEncoder = new HeaderEncoder();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #full = new Set<SpdyStream>();
  readonly #carrier: StreamCarrier;
  readonly #resolveEnded: (reason: string | undefined) => void;
  #waitingForDrain: (() => void)[] = [];
  #lastStreamId = 0;
  #initialCredit = INITIAL_WINDOW_BYTES;
  #windowed = false;
  #closing = false;
  #problem: string | undefined;

  constructor(socket: Duplex, head: Buffer, options: SpdyConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#carrier = this.#makeCarrier();
    const { promise, resolve } = Promise.withResolvers<string | undefined>();
    this.ended = promise;
    this.#resolveEnded = resolve;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("drain", () => this.#drained());
    socket.on("end", () => this.#over("the client has closed the connection"));
    socket.on("error", (error) => this.#over(describeError(error)));
    socket.on("close", () => this.#over("the connection is closed"));
    if (head.length > 0) this.#receive(head);
  }

  /**
   * Nothing more will be written. Leaves it to the client to hang up, for a while: spdystream forgets
   * what it has received and not delivered yet when its connection ends.
   */
  finish(): void {
    this.#closeAfter(FAREWELL_MS, () => this.close());
  }

  /** Says goodbye after what has been written, and waits a while until the client hangs up too. */
  close(): void {
    if (this.#closing) return;
    this.#closing = true;
    this.#goAway(GO_AWAY_OK);
    for (const stream of this.#streams.values()) stream.abort("the connection is being closed");
    // Closing with something unread would break off what the client has not read yet.
    this.#full.clear();
    this.#socket.resume();
    this.#socket.end();
    this.#closeAfter(LINGER_MS, () => this.#socket.destroy());
  }

  #closeAfter(milliseconds: number, close: () => void): void {
    const timer = setTimeout(close, milliseconds);
    void this.ended.then(() => clearTimeout(timer));
  }

  #receive(chunk: Buffer): void {
    if (this.#closing) return;
    try {
      for (const frame of this.#decoder.push(chunk)) {
        this.#handle(frame);
        if (this.#closing) return;
      }
    } catch (error) {
      this.#problem = describeError(error);
      this.#goAway(GO_AWAY_PROTOCOL_ERROR);
      this.#closing = true;
      this.#socket.end(() => this.#socket.destroy());
    }
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case "syn-stream":
        this.#open(frame);
        break;
      case "data":
        this.#receiveData(frame);
        break;
      case "rst-stream":
        this.#streams.get(frame.streamId)?.abort("the client has reset the stream");
        break;
      case "ping":
        // Ours would be even, and we send none.
        if (frame.id % 2 === 1) this.#send(frame);
        break;
      case "settings":
        this.#settings(frame.settings);
        break;
      case "window-update":
        this.#credit(frame.streamId, frame.delta);
        break;
      case "syn-reply":
      case "headers":
        // Unused, but part of the compression that the next block refers to.
        this.#headerDecoder.decode(frame.block);
        break;
      case "go-away":
        // It opens no more streams; those that are open go on.
        break;
    }
  }

  #open({ streamId, fin, block }: Extract<Frame, { type: "syn-stream" }>): void {
    const headers = this.#headerDecoder.decode(block);
    if (streamId % 2 === 0 || streamId <= this.#lastStreamId) {
      this.#sendReset(streamId, RST_INVALID_STREAM);
      return;
    }
    this.#lastStreamId = streamId;
    if (this.#streams.size >= MAX_STREAMS) {
      this.#sendReset(streamId, RST_REFUSED_STREAM);
      return;
    }
    const stream = new SpdyStream(streamId, headers, this.#carrier, this.#initialCredit);
    this.#streams.set(streamId, stream);
    if (!this.#options.accept(stream)) {
      this.#sendReset(streamId, RST_REFUSED_STREAM);
      stream.abort("the stream was refused");
      return;
    }
    const reply = this.#headerEncoder.encode(new Map());
    this.#send({ type: "syn-reply", streamId, fin: false, block: reply });
    if (fin) stream.receive(Buffer.alloc(0), true);
  }

  #receiveData({ streamId, bytes, fin }: Extract<Frame, { type: "data" }>): void {
    const stream = this.#streams.get(streamId);
    if (stream !== undefined) stream.receive(bytes, fin);
    // What is on its way to a stream that is gone is dropped; one that never was is an error.
    else if (streamId > this.#lastStreamId) this.#sendReset(streamId, RST_INVALID_STREAM);
  }

  #settings(settings: ReadonlyMap<number, number>): void {
    const window = settings.get(SETTINGS_INITIAL_WINDOW_SIZE);
    if (window === undefined || window > 0x7fff_ffff) return;
    this.#windowed = true;
    const change = window - this.#initialCredit;
    this.#initialCredit = window;
    for (const stream of this.#streams.values()) stream.addCredit(change);
  }

  #credit(streamId: number, delta: number): void {
    this.#windowed = true;
    const stream = this.#streams.get(streamId);
    if (stream === undefined || stream.addCredit(delta)) return;
    this.#sendReset(streamId, RST_FLOW_CONTROL_ERROR);
    stream.abort("the client's window is larger than a window can be");
  }

  #makeCarrier(): StreamCarrier {
    const isWindowed = () => this.#windowed;
    return {
      sendData: (streamId, bytes, fin, sent) => {
        if (this.#closing) return;
        this.#socket.cork();
        this.#socket.write(encodeDataHeader({ streamId, fin }, bytes.length));
        const goesOn = bytes.length === 0 || this.#socket.write(bytes);
        this.#socket.uncork();
        if (goesOn) sent();
        else this.#waitingForDrain.push(sent);
      },
      sendCredit: (streamId, delta) => this.#send({ type: "window-update", streamId, delta }),
      sendReset: (streamId) => this.#sendReset(streamId, RST_CANCEL),
      setFull: (stream, full) => this.#setFull(stream, full),
      forget: (streamId) => this.#streams.delete(streamId),
      get windowed() {
        return isWindowed();
      },
    };
  }

  #setFull(stream: SpdyStream, full: boolean): void {
    if (full) this.#full.add(stream);
    else if (!this.#full.delete(stream)) return;
    if (this.#full.size > 0) this.#socket.pause();
    else this.#socket.resume();
  }

  #send(frame: Frame): void {
    if (this.#closing) return;
    this.#socket.write(encodeFrame(frame));
    if (this.#socket.writableLength > MAX_UNSENT_BYTES) {
      this.#over("the client does not read what it asks for");
    }
  }

  #sendReset(streamId: number, status: number): void {
    this.#send({ type: "rst-stream", streamId, status });
  }

  #goAway(status: number): void {
    const lastStreamId = this.#lastStreamId;
    this.#socket.write(encodeFrame({ type: "go-away", lastStreamId, status }));
  }

  #drained(): void {
    const waiting = this.#waitingForDrain;
    this.#waitingForDrain = [];
    for (const sent of waiting) sent();
  }

  #over(reason: string): void {
    const said = this.#problem ?? (this.#closing ? undefined : reason);
    this.#resolveEnded(said);
    this.#closing = true;
    for (const stream of this.#streams.values()) stream.abort(said ?? reason);
    this.#socket.destroy();
  }
}
