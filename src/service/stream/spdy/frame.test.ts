// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LightvmError } from "../../../shared/errors.ts";
import { encodeFrame, type Frame, FrameDecoder } from "./frame.ts";

const bytes = (maxLength: number) =>
  fc.uint8Array({ maxLength }).map((array) => Buffer.from(array));
const streamId = fc.nat({ max: 0x7fff_ffff });
const word = fc.nat({ max: 0xffff_ffff });
const fin = fc.boolean();

const control: fc.Arbitrary<Frame> = fc.oneof(
  fc.record({ type: fc.constant("syn-stream"), streamId, fin, block: bytes(64) }),
  fc.record({ type: fc.constantFrom("syn-reply", "headers"), streamId, fin, block: bytes(64) }),
  fc.record({ type: fc.constant("rst-stream"), streamId, status: word }),
  fc.record({ type: fc.constant("ping"), id: word }),
  fc.record({ type: fc.constant("go-away"), lastStreamId: streamId, status: word }),
  fc.record({ type: fc.constant("window-update"), streamId, delta: streamId }),
  fc
    .record({
      type: fc.constant("settings"),
      settings: fc.uniqueArray(fc.tuple(fc.nat({ max: 0xff_ffff }), word), {
        selector: ([id]) => id,
        maxLength: 5,
      }),
    })
    .map(({ settings }) => ({ type: "settings", settings: new Map(settings) })),
) as fc.Arbitrary<Frame>;

const frame: fc.Arbitrary<Frame> = fc.oneof(
  control,
  fc.record({ type: fc.constant("data" as const), streamId, fin, bytes: bytes(64) }),
);

/** What comes out when the bytes come in pieces of these sizes. Pieces of data are joined again. */
function decode(stream: Buffer, sizes: readonly number[]): Frame[] {
  const decoder = new FrameDecoder();
  const frames: Frame[] = [];
  let at = 0;
  for (const size of [...sizes, stream.length]) {
    for (const piece of decoder.push(Buffer.from(stream.subarray(at, at + size)))) {
      frames.push(piece);
    }
    at += size;
  }
  return frames;
}

function joined(frames: readonly Frame[]): Map<number, string> {
  const streams = new Map<number, string>();
  for (const each of frames) {
    if (each.type !== "data") continue;
    const before = streams.get(each.streamId) ?? "";
    streams.set(each.streamId, `${before}${each.bytes.toString("hex")}${each.fin ? "." : ""}`);
  }
  return streams;
}

describe("frames", () => {
  it("come out as they went in, however they are cut", () => {
    fc.assert(
      fc.property(fc.array(frame), fc.array(fc.nat({ max: 50 })), (frames, sizes) => {
        const decoded = decode(Buffer.concat(frames.map(encodeFrame)), sizes);
        const controls = (all: readonly Frame[]) => all.filter(({ type }) => type !== "data");
        expect(controls(decoded)).toEqual(controls(frames));
        expect(joined(decoded)).toEqual(joined(frames));
      }),
    );
  });

  it("are refused, or skipped, when they are none", () => {
    fc.assert(
      fc.property(bytes(300), fc.array(fc.nat({ max: 50 })), (garbage, sizes) => {
        try {
          decode(garbage, sizes);
        } catch (error) {
          expect(error).toBeInstanceOf(LightvmError);
          expect(error).toMatchObject({ code: "invalid-argument" });
        }
      }),
    );
  });

  it("are refused when they are another version's, too long or too short", () => {
    const refused = (hex: string) => () => decode(Buffer.from(hex, "hex"), []);
    expect(refused("8002000100000000")).toThrow(/version 2/);
    expect(refused("8003000100ffffff")).toThrow(/16777215 bytes/);
    expect(refused("800300090000000400000001")).toThrow(/window-update frame of 4 bytes/);
    expect(refused("80030004000000080000000200000000")).toThrow(/no 2 entries/);
    // Type 99 is for someone else.
    expect(decode(Buffer.from("8003006300000001ff", "hex"), [])).toEqual([]);
  });

  it("of data are passed on as they come", () => {
    const whole = encodeFrame({ type: "data", streamId: 1, fin: true, bytes: Buffer.from("abcd") });
    const frames = decode(whole, [10]);
    expect(frames.map((each) => each.type === "data" && [String(each.bytes), each.fin])).toEqual([
      ["ab", false],
      ["cd", true],
    ]);
  });
});
