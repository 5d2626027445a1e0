// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeFrame, FrameDecoder, MAX_MESSAGE_BYTES } from "./framing.ts";

describe("framing", () => {
  it("puts the length before the message, little-endian", () => {
    expect(encodeFrame(Buffer.from("abc")).toString("hex")).toBe("03000000616263");
  });

  it("gives back the same messages wherever the stream is cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1, maxLength: 40 }),
        (messages, cuts) => {
          const stream = Buffer.concat(messages.map((message) => encodeFrame(message)));
          const decoder = new FrameDecoder();
          const seen: Buffer[] = [];
          for (let at = 0, turn = 0; at < stream.length; turn += 1) {
            const size = cuts[turn % cuts.length] ?? 1;
            seen.push(...decoder.push(stream.subarray(at, at + size)));
            at += size;
          }
          expect(seen.map((message) => [...message])).toEqual(messages.map((each) => [...each]));
          expect(decoder.atBoundary).toBe(true);
        },
      ),
    );
  });

  it("knows a torn message", () => {
    const decoder = new FrameDecoder();
    expect(decoder.push(encodeFrame(Buffer.from("abc")).subarray(0, 6))).toEqual([]);
    expect(decoder.atBoundary).toBe(false);
  });

  it("refuses a length above the limit, both ways", () => {
    const header = Buffer.alloc(4);
    header.writeUInt32LE(MAX_MESSAGE_BYTES + 1);
    expect(() => new FrameDecoder().push(header)).toThrow(/announced a message/);
    expect(() => encodeFrame(Buffer.alloc(MAX_MESSAGE_BYTES + 1))).toThrow(/longer than/);
  });
});
