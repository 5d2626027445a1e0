// SPDX-License-Identifier: Apache-2.0
//
// Golden messages: NAME.json says in words what NAME.bin holds in protobuf. TypeScript and Rust
// tests read the same files, so neither side can drift from the protocol alone.
//
// In the JSON, 64-bit integers are decimal strings and bytes are {"$hex": "..."}.
// After a deliberate change of the protocol: `node test/golden/golden.ts` writes the .bin anew.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { AgentMessage, HostMessage } from "../../cri-proto/generated/lightvm/agent/v1/agent.ts";
import {
  ClientHello,
  ClientMessage,
  JournalRecord,
  VmmMessage,
} from "../../cri-proto/generated/lightvm/vmm/v1/vmm.ts";

/** What a golden test needs of a generated message type. */
interface Codec {
  encode(message: unknown): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
  fromPartial(message: unknown): unknown;
}

/** Full protobuf name → its generated code; the values differ only in their message type. */
export const CODECS: Readonly<Record<string, Codec>> = {
  "lightvm.agent.v1.AgentMessage": AgentMessage as unknown as Codec,
  "lightvm.agent.v1.HostMessage": HostMessage as unknown as Codec,
  "lightvm.vmm.v1.ClientHello": ClientHello as unknown as Codec,
  "lightvm.vmm.v1.ClientMessage": ClientMessage as unknown as Codec,
  "lightvm.vmm.v1.JournalRecord": JournalRecord as unknown as Codec,
  "lightvm.vmm.v1.VmmMessage": VmmMessage as unknown as Codec,
};

/** One pair of files. */
export interface Golden {
  readonly name: string;
  readonly codec: Codec;
  /** The message as the JSON file writes it. */
  readonly json: unknown;
  readonly binaryFile: string;
}

/** All pairs of this directory, by name. */
export function goldens(): Golden[] {
  const files = readdirSync(import.meta.dirname).filter((file) => file.endsWith(".json"));
  return files.sort().map((file) => {
    const path = join(import.meta.dirname, file);
    const { type, message } = JSON.parse(readFileSync(path, "utf8"));
    const codec = CODECS[type];
    if (codec === undefined) throw new Error(`${file} names an unknown type: ${type}`);
    const name = file.slice(0, -".json".length);
    return { name, codec, json: message, binaryFile: path.replace(/\.json$/, ".bin") };
  });
}

/** The bytes of the message that the JSON describes. */
export function encodeGolden({ codec, json }: Golden): Buffer {
  return Buffer.from(codec.encode(codec.fromPartial(fromWords(json))).finish());
}

/** A decoded message as the JSON files write it. */
export function toWords(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return { $hex: Buffer.from(value).toString("hex") };
  if (Array.isArray(value)) return value.map(toWords);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return Object.fromEntries(fields.map(([key, field]) => [key, toWords(field)]));
}

function fromWords(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(fromWords);
  if (typeof value !== "object" || value === null) return value;
  if ("$hex" in value) return Buffer.from(String(value.$hex), "hex");
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, fromWords(field)]));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  for (const golden of goldens()) writeFileSync(golden.binaryFile, encodeGolden(golden));
}
