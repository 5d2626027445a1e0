// SPDX-License-Identifier: Apache-2.0
import { Duplex } from "node:stream";
import { LightvmError } from "../../../shared/errors.ts";
import type { Headers } from "./header-block.ts";

/** What a stream may send and we may send on it, until told otherwise (SPDY/3.1, section 2.6.8). */
export const INITIAL_WINDOW_BYTES = 64 * 1024;
const MAX_WINDOW_BYTES = 0x7fff_ffff;

/** What a stream asks of its connection. */
export interface StreamCarrier {
  /** Sends bytes; `sent` is called when the connection takes more. */
  sendData(streamId: number, bytes: Buffer, fin: boolean, sent: () => void): void;
  /** The consumer has taken bytes: the other side may send as many again. */
  sendCredit(streamId: number, bytes: number): void;
  sendReset(streamId: number): void;
  /** Nothing more is to be read from the connection, or again something. */
  setFull(stream: SpdyStream, full: boolean): void;
  forget(streamId: number): void;
  /** Whether the other side keeps to windows at all; see SpdyConnection. */
  readonly windowed: boolean;
}

/**
 * One stream that the client has opened: reads what it sends, writes to it, each direction with its
 * own end. Destroying it before both have ended resets it.
 */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: Headers;
  readonly #carrier: StreamCarrier;
  #received = 0;
  #credit: number;
  #remoteEnded = false;
  #reset = false;
  #waiting: (() => void) | undefined;

  constructor(id: number, headers: Headers, carrier: StreamCarrier, credit: number) {
    super({ allowHalfOpen: true, emitClose: true });
    this.id = id;
    this.headers = headers;
    this.#carrier = carrier;
    this.#credit = credit;
    // Whoever uses the stream hears of errors through its end; nobody may be surprised by them.
    this.on("error", () => undefined);
  }

  /** A piece of data has come. */
  receive(bytes: Buffer, fin: boolean): void {
    if (this.#remoteEnded || this.destroyed) return;
    this.#remoteEnded = fin;
    this.#received += bytes.length;
    if (bytes.length > 0 && !this.push(bytes)) this.#carrier.setFull(this, true);
    if (fin) this.push(null);
  }

  /** The client has reset the stream, or the connection is over. */
  abort(message: string): void {
    this.#reset = true;
    this.destroy(new LightvmError("cancelled", message));
  }

  /** The client has room for more; false when it claims more than there can be. */
  addCredit(bytes: number): boolean {
    this.#credit += bytes;
    if (this.#credit > MAX_WINDOW_BYTES) return false;
    this.#waiting?.();
    return true;
  }

  override _read(): void {
    this.#carrier.setFull(this, false);
    if (this.#received < INITIAL_WINDOW_BYTES / 2 || this.#remoteEnded) return;
    this.#carrier.sendCredit(this.id, this.#received);
    this.#received = 0;
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error) => void): void {
    const room = this.#carrier.windowed ? Math.max(0, this.#credit) : chunk.length;
    const bytes = chunk.subarray(0, room);
    const rest = chunk.subarray(room);
    this.#credit -= bytes.length;
    const next = () => {
      if (rest.length === 0) done();
      else this.#write(rest, done);
    };
    if (bytes.length === 0 && rest.length > 0) next();
    else this.#carrier.sendData(this.id, bytes, false, next);
  }

  override _final(done: (error?: Error) => void): void {
    this.#carrier.sendData(this.id, Buffer.alloc(0), true, () => done());
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#waiting = undefined;
    this.#carrier.setFull(this, false);
    const whole = this.#remoteEnded && this.writableFinished;
    if (!this.#reset && !whole) this.#carrier.sendReset(this.id);
    this.#carrier.forget(this.id);
    done(error);
  }

  /** Goes on when there is credit. */
  #write(rest: Buffer, done: (error?: Error) => void): void {
    if (this.#credit > 0) {
      this._write(rest, "buffer", done);
      return;
    }
    this.#waiting = () => {
      if (this.#credit <= 0) return;
      this.#waiting = undefined;
      this._write(rest, "buffer", done);
    };
  }
}
