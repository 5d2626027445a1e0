// SPDX-License-Identifier: Apache-2.0
import { createHash } from "node:crypto";
import { constants, createDeflate, deflateSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { LightvmError } from "../../../shared/errors.ts";
import { SPDY_DICTIONARY } from "./dictionary.ts";
import { HeaderDecoder, HeaderEncoder } from "./header-block.ts";

const name = fc
  .string({ minLength: 1, maxLength: 20 })
  .map((text) => text.toLowerCase())
  .filter((text) => Buffer.from(text, "latin1").toString("latin1") === text);
const value = fc.string({ maxLength: 200, unit: "binary-ascii" });
const headers = fc
  .array(fc.tuple(name, value), { maxLength: 8 })
  .map((pairs) => new Map<string, string>(pairs));

/** A sender that compresses all blocks as one stream, with what went before in its window. */
class StreamingSender {
  readonly #deflate = createDeflate({ dictionary: SPDY_DICTIONARY });

  async compress(text: Buffer): Promise<Buffer> {
    const chunks: Buffer[] = [];
    const collect = (chunk: Buffer) => chunks.push(chunk);
    this.#deflate.on("data", collect);
    this.#deflate.write(text);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#deflate.flush(constants.Z_SYNC_FLUSH, () => resolve());
    await promise;
    this.#deflate.off("data", collect);
    return Buffer.concat(chunks);
  }
}

function serialize(pairs: readonly (readonly [string, string])[]): Buffer {
  const number = (count: number) => {
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32BE(count);
    return bytes;
  };
  const word = (text: string) => [number(text.length), Buffer.from(text, "latin1")];
  return Buffer.concat([
    number(pairs.length),
    ...pairs.flatMap(([key, text]) => [...word(key), ...word(text)]),
  ]);
}

describe("header blocks", () => {
  it("start from the protocol's dictionary", () => {
    expect(SPDY_DICTIONARY).toHaveLength(1423);
    const adler = deflateSync("", { dictionary: SPDY_DICTIONARY }).readUInt32BE(2);
    expect(adler.toString(16)).toBe("e3c6a7c2");
    const hash = createHash("sha256").update(SPDY_DICTIONARY).digest("hex");
    expect(hash).toBe("51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02");
  });

  it("come out as they went in", () => {
    fc.assert(
      fc.property(fc.array(headers, { maxLength: 5 }), (blocks) => {
        const [encoder, decoder] = [new HeaderEncoder(), new HeaderDecoder()];
        for (const block of blocks) expect(decoder.decode(encoder.encode(block))).toEqual(block);
      }),
    );
  });

  it("may refer to earlier ones, as far as deflate's window reaches", async () => {
    const [sender, decoder] = [new StreamingSender(), new HeaderDecoder()];
    for (let index = 0; index < 200; index += 1) {
      const pairs = [
        ["streamtype", "data"],
        ["port", "8080"],
        ["requestid", String(index)],
        ["filler", "x".repeat((index * 37) % 3000)],
      ] as const;
      const block = await sender.compress(serialize(pairs));
      expect(decoder.decode(block)).toEqual(new Map(pairs));
    }
  });

  it("are refused when they are none", () => {
    const blocks = fc.array(fc.uint8Array({ maxLength: 100 }), { minLength: 1, maxLength: 3 });
    fc.assert(
      fc.property(blocks, fc.boolean(), (garbage, begins) => {
        const decoder = new HeaderDecoder();
        if (begins) decoder.decode(new HeaderEncoder().encode(new Map()));
        try {
          for (const block of garbage) decoder.decode(Buffer.from(block));
        } catch (error) {
          expect(error).toBeInstanceOf(LightvmError);
        }
      }),
    );
  });

  it("are refused when they are too large, doubled or cut off", async () => {
    const decode = async (text: Buffer) =>
      new HeaderDecoder().decode(await new StreamingSender().compress(text));
    const refused = (text: Buffer, why: RegExp) => expect(decode(text)).rejects.toThrow(why);
    await refused(serialize([["a", "x".repeat(20_000)]]), /decompressed/);
    await refused(
      serialize([
        ["a", ""],
        ["a", ""],
      ]),
      /comes twice/,
    );
    await refused(serialize([["A", ""]]), /lower case/);
    await refused(serialize([["a", "b"]]).subarray(0, -1), /ends early/);
    await refused(Buffer.concat([serialize([["a", "b"]]), Buffer.of(0)]), /follows/);
    const many = Array.from({ length: 65 }, (_, index) => [`n${index}`, ""] as const);
    await refused(serialize(many), /65 headers/);
  });
});
