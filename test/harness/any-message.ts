// SPDX-License-Identifier: Apache-2.0
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import * as fc from "fast-check";
import type { FieldDescriptor, FileDescriptorSet, MessageDescriptor } from "./descriptors.ts";

/** One field of a message, as bytes. */
type Piece = Uint8Array;

const MAX_DEPTH = 5;
/** Beyond what any field number of the CRI is. */
const UNKNOWN_FIELD = 1000;
const EDGES = [
  0n,
  1n,
  2n,
  5n,
  1000n,
  65_536n,
  2n ** 31n,
  2n ** 32n,
  2n ** 63n - 1n,
  -1n,
  -(2n ** 63n),
];

/**
 * Makes requests that keep to the schema's shape and to nothing else: fields are missing, repeated,
 * empty, enormous or unknown, and now and then the bytes are cut off or of the wrong kind. Strings
 * come from `strings`, which should lead to things that exist, and from a set of bad ones.
 */
export class AnyMessage {
  readonly #messages = new Map<string, MessageDescriptor>();
  readonly #strings: fc.Arbitrary<string>;

  constructor(schemas: FileDescriptorSet, strings: readonly string[]) {
    for (const file of schemas.file) {
      for (const message of file.messageType ?? []) this.#add(`.${file.package}`, message);
    }
    const bad = ["", ".", "..", "a b", "\0", "é\n", "x".repeat(70_000), "1e9", "sha256:0"];
    this.#strings = fc.constantFrom(...strings, ...strings, ...bad);
  }

  /** Requests of a type, ".runtime.v1.VersionRequest". */
  of(type: string): fc.Arbitrary<Buffer> {
    const whole = this.#message(type, 0).map((bytes) => Buffer.from(bytes));
    const damaged = fc
      .tuple(whole, fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 0, max: 255 }))
      .map(([bytes, at, value]) => {
        const cut = Buffer.from(bytes.subarray(0, Math.ceil(bytes.length * at)));
        if (cut.length > 0) cut[cut.length - 1] = value;
        return cut;
      });
    return fc.oneof({ arbitrary: whole, weight: 9 }, { arbitrary: damaged, weight: 1 });
  }

  #add(scope: string, message: MessageDescriptor): void {
    const path = `${scope}.${message.name}`;
    this.#messages.set(path, message);
    for (const nested of message.nestedType ?? []) this.#add(path, nested);
  }

  #message(type: string, depth: number): fc.Arbitrary<Uint8Array> {
    const fields = this.#messages.get(type)?.field ?? [];
    const shallow = fields.filter((it) => depth < MAX_DEPTH || it.type !== "TYPE_MESSAGE");
    const known = shallow.map((field) => {
      const most = field.label === "LABEL_REPEATED" ? 2 : 1;
      // Of a field that may stand once, a second one is a duplicate: the last counts.
      const times = fc.oneof(
        { arbitrary: fc.integer({ min: 0, max: most }), weight: 9 },
        { arbitrary: fc.constant(2), weight: 1 },
      );
      const piece = this.#piece(field, depth);
      return times.chain((count) => fc.array(piece, { minLength: count, maxLength: count }));
    });
    const unknown = fc.array(this.#unknown(), { maxLength: 1 });
    return fc.tuple(...known, unknown).map((pieces) => Buffer.concat(pieces.flat()));
  }

  #piece(field: FieldDescriptor, depth: number): fc.Arbitrary<Piece> {
    const write = (wire: WireType, put: (writer: BinaryWriter) => void) => {
      const writer = new BinaryWriter().tag(field.number, wire);
      put(writer);
      return writer.finish();
    };
    switch (field.type) {
      case "TYPE_STRING":
        return this.#strings.map((text) =>
          write(WireType.LengthDelimited, (to) => to.string(text)),
        );
      case "TYPE_BYTES":
        return fc
          .uint8Array({ maxLength: 8 })
          .map((bytes) => write(WireType.LengthDelimited, (to) => to.bytes(bytes)));
      case "TYPE_MESSAGE":
        return this.#message(field.typeName ?? "", depth + 1).map((bytes) =>
          write(WireType.LengthDelimited, (to) => to.bytes(bytes)),
        );
      case "TYPE_DOUBLE":
        return fc.double().map((value) => write(WireType.Bit64, (to) => to.double(value)));
      default:
        return fc
          .constantFrom(...EDGES)
          .map((value) => write(WireType.Varint, (to) => to.int64(value)));
    }
  }

  #unknown(): fc.Arbitrary<Piece> {
    return fc
      .uint8Array({ maxLength: 4 })
      .map((bytes) =>
        new BinaryWriter().tag(UNKNOWN_FIELD, WireType.LengthDelimited).bytes(bytes).finish(),
      );
  }
}
