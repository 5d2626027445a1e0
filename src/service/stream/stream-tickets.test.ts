// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { type StreamTicket, StreamTickets } from "./stream-tickets.ts";

const TICKET: StreamTicket = {
  kind: "portforward",
  ports: [],
  connect: () => Promise.reject(new Error("not to be called")),
};

describe("a ticket", () => {
  it("is given out once, and for its own kind", () => {
    const tickets = new StreamTickets();
    const token = tickets.issue(TICKET);
    expect(token).toMatch(/^[\w-]{8}$/);
    expect(tickets.redeem("exec", token)).toBeUndefined();
    expect(tickets.redeem("portforward", token)).toBe(TICKET);
    expect(tickets.redeem("portforward", token)).toBeUndefined();
    expect(tickets.redeem("portforward", "")).toBeUndefined();
  });

  it("lives for a minute", () => {
    let now = 0;
    const tickets = new StreamTickets(() => now);
    const [early, late] = [tickets.issue(TICKET), tickets.issue(TICKET)];
    now = 59_999;
    expect(tickets.redeem("portforward", early)).toBe(TICKET);
    now = 60_000;
    expect(tickets.redeem("portforward", late)).toBeUndefined();
  });

  it("is refused when too many wait, until those have expired", () => {
    let now = 0;
    const tickets = new StreamTickets(() => now);
    for (let count = 0; count < 1000; count += 1) tickets.issue(TICKET);
    expect(() => tickets.issue(TICKET)).toThrow(/try again within a minute/);
    now = 60_000;
    tickets.issue(TICKET);
  });
});
