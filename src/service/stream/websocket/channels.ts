// SPDX-License-Identifier: Apache-2.0
import { Readable, Writable } from "node:stream";
import type { WebSocket } from "ws";
import { LightvmError } from "../../../shared/errors.ts";

// Kubernetes' channels over WebSocket: the first byte of each binary message says which channel the
// rest belongs to. From v5.channel.k8s.io on, a message of 255 and a channel ends that channel.

const CLOSE_CHANNEL = 255;
/** Normal closure (RFC 6455, 7.4.1). */
const CLOSE_NORMAL = 1000;

/** The channels of one WebSocket connection, which it owns. */
export class Channels {
  /** Aborts when the connection is over. */
  readonly gone: AbortSignal;
  readonly #socket: WebSocket;
  readonly #readers = new Map<number, Readable>();
  readonly #full = new Set<Readable>();

  constructor(socket: WebSocket, options: { readonly closable: boolean }) {
    this.#socket = socket;
    const controller = new AbortController();
    this.gone = controller.signal;
    socket.on("message", (message: Buffer, isBinary: boolean) => {
      if (isBinary) this.#receive(message, options.closable);
    });
    // "close" follows.
    socket.on("error", () => undefined);
    socket.on("close", () => {
      controller.abort(new LightvmError("unavailable", "the client has closed the connection"));
      for (const reader of this.#readers.values()) reader.push(null);
    });
  }

  /** What the client sends on a channel. Messages on channels that nobody reads are dropped. */
  reader(channel: number): Readable {
    const reader = new Readable({
      read: () => this.#setFull(reader, false),
      destroy: (error, done) => {
        this.#readers.delete(channel);
        this.#setFull(reader, false);
        done(error);
      },
    });
    this.#readers.set(channel, reader);
    return reader;
  }

  /** Each write is one message; it is done when the connection takes more. */
  writer(channel: number): Writable {
    const prefix = Buffer.of(channel);
    const writer = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        this.#socket.send(Buffer.concat([prefix, chunk]), done);
      },
    });
    // That the connection is over is told by `gone`.
    return writer.on("error", () => undefined);
  }

  /** An empty message, by which a client knows that the channel is there. */
  announce(channel: number): void {
    this.#socket.send(Buffer.of(channel));
  }

  close(): void {
    this.#socket.close(CLOSE_NORMAL);
  }

  #receive(message: Buffer, closable: boolean): void {
    const channel = message[0];
    if (channel === undefined) return;
    if (channel === CLOSE_CHANNEL && closable) {
      this.#end(message[1]);
      return;
    }
    const reader = this.#readers.get(channel);
    if (reader === undefined || message.length === 1) return;
    if (!reader.push(message.subarray(1))) this.#setFull(reader, true);
  }

  #end(channel: number | undefined): void {
    if (channel === undefined) return;
    const reader = this.#readers.get(channel);
    this.#readers.delete(channel);
    reader?.push(null);
  }

  #setFull(reader: Readable, full: boolean): void {
    if (full) this.#full.add(reader);
    else if (!this.#full.delete(reader)) return;
    if (this.#full.size > 0) this.#socket.pause();
    else this.#socket.resume();
  }
}
