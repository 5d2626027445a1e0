// SPDX-License-Identifier: Apache-2.0
import type { Socket } from "node:net";
import type { ProcessExited } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import {
  ClientHello_Purpose,
  ClientMessage,
  type GuestEvent,
  VmmMessage,
} from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";
import { describeError, LightvmError } from "../shared/errors.ts";
import { type WaitOptions, waitFor } from "../shared/wait.ts";
import { connectToVmm, encodeHello } from "./connect.ts";
import { VmmError } from "./failures.ts";
import { encodeFrame, FrameDecoder } from "./framing.ts";
import {
  REPLY_CASES,
  type VmmArgument,
  type VmmBody,
  type VmmCall,
  type VmmCallName,
  type VmmReplies,
} from "./wire.ts";

/** What a VMM says without having been asked. */
export interface VmmListener {
  guestEvent(event: NonNullable<GuestEvent["event"]>): void;
  processExited(exit: ProcessExited): void;
}

export interface VmmClientOptions {
  readonly listener: VmmListener;
  /** Why the connection was lost, asked once it is; see `explainVmmDeath`. */
  readonly explainLoss: () => Promise<LightvmError>;
}

interface PendingCall {
  readonly name: VmmCallName;
  readonly resolve: (body: VmmBody) => void;
  readonly reject: (error: LightvmError) => void;
}

/** Between the failure of one connection and the end of another, which both come from one exit(2). */
const LOSS_MS = 3000;

const CONTROL_HELLO = encodeHello({ purpose: ClientHello_Purpose.PURPOSE_CONTROL });

/**
 * One control connection to one VMM (vmm.proto). Calls may overlap; each reply finds its call by
 * id. When the connection ends, every call fails with the reason, and so does every later one.
 */
export class VmmClient {
  /** Resolves with the reason when the connection is over; never rejects. */
  readonly lost: Promise<LightvmError>;
  readonly #socket: Socket;
  readonly #options: VmmClientOptions;
  readonly #decoder = new FrameDecoder();
  readonly #pending = new Map<bigint, PendingCall>();
  readonly #resolveLost: (error: LightvmError) => void;
  #nextId = 1n;
  #protocolError: LightvmError | undefined;

  private constructor(socket: Socket, options: VmmClientOptions) {
    this.#socket = socket;
    this.#options = options;
    const { promise, resolve } = Promise.withResolvers<LightvmError>();
    this.lost = promise;
    this.#resolveLost = resolve;
    void this.lost.then((error) => this.#failPending(error));
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    // "close" follows and says all that there is to say.
    socket.on("error", () => undefined);
    socket.on("end", () => socket.destroy());
    socket.on("close", () => void this.#explainLoss());
  }

  /** Speaks over the descriptor that a VMM was started with. */
  static overSocket(socket: Socket, options: VmmClientOptions): VmmClient {
    const client = new VmmClient(socket, options);
    socket.write(CONTROL_HELLO);
    return client;
  }

  /** Finds a VMM again that another lightvmd has started. */
  static async connect(
    socketPath: string,
    options: VmmClientOptions,
    wait: WaitOptions,
  ): Promise<VmmClient> {
    return new VmmClient(await connectToVmm(socketPath, CONTROL_HELLO, wait), options);
  }

  /**
   * Makes one call and waits for its reply. Throws VmmError for a failure that the VMM reports,
   * "unavailable" when the VMM is lost, "deadline-exceeded" or "cancelled". A call that was given
   * up may still take effect; its reply is dropped.
   */
  async call<Name extends VmmCallName>(
    name: Name,
    argument: VmmArgument<Name>,
    wait: WaitOptions,
  ): Promise<VmmReplies[Name]> {
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<VmmBody>();
    this.#pending.set(id, { name, resolve, reject });
    try {
      const call = { $case: name, value: argument } as VmmCall;
      const frame = encodeFrame(ClientMessage.encode({ id, call }).finish());
      if (this.#socket.destroyed) await this.lost.then(reject);
      else this.#socket.write(frame);
      const body = await waitFor(promise, `the VMM's ${name}`, wait);
      return body.value as VmmReplies[Name];
    } finally {
      this.#pending.delete(id);
    }
  }

  /**
   * What is behind a failure of another connection to the same VMM: when nobody listens there any
   * more, how the VMM was lost; otherwise the failure itself.
   */
  async reasonFor(failure: unknown): Promise<unknown> {
    if (!(failure instanceof LightvmError) || failure.code !== "unavailable") return failure;
    try {
      return await waitFor(this.lost, "the end of the VMM", { timeoutMs: LOSS_MS });
    } catch {
      // The deadline is waitFor's only failure here: the VMM lives, and its socket has failed alone.
      return failure;
    }
  }

  /** Ends the connection; the VMM goes on. */
  close(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    try {
      for (const bytes of this.#decoder.push(chunk)) this.#dispatch(VmmMessage.decode(bytes));
    } catch (cause) {
      this.#protocolError = new LightvmError("data-loss", "the VMM broke its protocol", { cause });
      this.#socket.destroy();
    }
  }

  #dispatch({ id, body }: VmmMessage): void {
    if (body === undefined) throw new LightvmError("data-loss", `message ${id} has no body`);
    if (id === 0n) {
      this.#dispatchEvent(body);
      return;
    }
    const call = this.#pending.get(id);
    // A reply to a call that was given up is dropped here.
    if (call === undefined) return;
    if (body.$case === "failure") call.reject(new VmmError(body.value));
    else if (body.$case === REPLY_CASES[call.name]) call.resolve(body);
    else {
      call.reject(new LightvmError("internal", `the VMM answered ${call.name} with ${body.$case}`));
    }
  }

  #dispatchEvent(body: VmmBody): void {
    const { listener } = this.#options;
    if (body.$case === "processExited") listener.processExited(body.value);
    else if (body.$case === "guestEvent" && body.value.event !== undefined) {
      listener.guestEvent(body.value.event);
    }
    // Events that this version does not know are for a newer one.
  }

  async #explainLoss(): Promise<void> {
    if (this.#protocolError !== undefined) {
      this.#resolveLost(this.#protocolError);
      return;
    }
    try {
      this.#resolveLost(await this.#options.explainLoss());
    } catch (cause) {
      const message = `the VMM is lost, and why cannot be told (${describeError(cause)})`;
      this.#resolveLost(new LightvmError("unavailable", message));
    }
  }

  #failPending(error: LightvmError): void {
    for (const call of this.#pending.values()) call.reject(error);
    this.#pending.clear();
  }
}
