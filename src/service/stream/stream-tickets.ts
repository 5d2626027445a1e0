// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { LightvmError } from "../../shared/errors.ts";
import type {
  CommandStatus,
  RemoteCommandSession,
  WantedStreams,
} from "./remote-command/session.ts";

/** What whoever presents a token gets. */
export type StreamTicket = CommandTicket | ForwardTicket;

/** The streams of one command, or of a container that runs. */
export interface CommandTicket {
  readonly kind: "exec" | "attach";
  readonly wanted: WantedStreams;
  readonly run: (session: RemoteCommandSession) => Promise<CommandStatus>;
}

/** Connections to ports of one pod. */
export interface ForwardTicket {
  readonly kind: "portforward";
  readonly ports: readonly number[];
  readonly connect: (port: number, signal: AbortSignal) => Promise<Duplex>;
}

/** A token is presented by kubelet at once. */
const LIFETIME_MS = 60_000;
/** Tokens that wait to be presented. */
const MAX_PENDING = 1000;
/** 8 characters of base64url. */
const TOKEN_BYTES = 6;

/** Tickets that wait for their client, by token. Each token serves once, for a short time. */
export class StreamTickets {
  readonly #pending = new Map<string, { readonly ticket: StreamTicket; readonly until: number }>();
  readonly #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Returns the token. Throws "resource-exhausted" when too many wait. */
  issue(ticket: StreamTicket): string {
    this.#expire();
    if (this.#pending.size >= MAX_PENDING) {
      const message = `${MAX_PENDING} streams wait for their clients; try again within a minute`;
      throw new LightvmError("resource-exhausted", message);
    }
    let token: string;
    do token = randomBytes(TOKEN_BYTES).toString("base64url");
    while (this.#pending.has(token));
    this.#pending.set(token, { ticket, until: this.#now() + LIFETIME_MS });
    return token;
  }

  /** Gives out the ticket of a token, once; undefined when there is none of that kind. */
  redeem(kind: string, token: string): StreamTicket | undefined {
    this.#expire();
    const ticket = this.#pending.get(token)?.ticket;
    if (ticket?.kind !== kind) return undefined;
    this.#pending.delete(token);
    return ticket;
  }

  /** All live equally long, so the oldest come first. */
  #expire(): void {
    for (const [token, { until }] of this.#pending) {
      if (until > this.#now()) return;
      this.#pending.delete(token);
    }
  }
}
