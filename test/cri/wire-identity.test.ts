// SPDX-License-Identifier: Apache-2.0
//
// Our text of the CRI against the registry's: both are compiled to descriptors, and everything in
// them that reaches the wire must be equal. Needs Go, which fetches the module.
import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  describeSchemas,
  type EnumDescriptor,
  type FileDescriptorSet,
  type MessageDescriptor,
  OWN_SCHEMAS,
} from "../harness/descriptors.ts";

/** The release that cri-proto/runtime/v1 follows. */
const CRI_API = "k8s.io/cri-api@v0.37.2";
const PACKAGE = "runtime.v1";

/** One line for each thing that the two ends of a connection must agree on. */
function wireFacts(set: FileDescriptorSet): string[] {
  const facts: string[] = [];
  const addEnum = (scope: string, { name, value = [] }: EnumDescriptor): void => {
    for (const { name: member, number = 0 } of value) {
      facts.push(`enum ${scope}.${name}: ${member} = ${number}`);
    }
  };
  const addMessage = (scope: string, message: MessageDescriptor): void => {
    const path = `${scope}.${message.name}`;
    facts.push(`message ${path}${message.options?.mapEntry === true ? " (map entry)" : ""}`);
    for (const {
      name,
      number,
      label,
      type,
      typeName,
      oneofIndex,
      proto3Optional,
    } of message.field ?? []) {
      const kind = `${label} ${type} ${typeName ?? ""} ${oneofIndex ?? ""} ${proto3Optional ?? ""}`;
      facts.push(`field ${path}.${name} = ${number}: ${kind.trim()}`);
    }
    for (const nested of message.nestedType ?? []) addMessage(path, nested);
    for (const nested of message.enumType ?? []) addEnum(path, nested);
  };
  for (const file of set.file.filter(({ package: name }) => name === PACKAGE)) {
    for (const message of file.messageType ?? []) addMessage(PACKAGE, message);
    for (const entry of file.enumType ?? []) addEnum(PACKAGE, entry);
    for (const { name, method } of file.service ?? []) {
      for (const { name: rpc, inputType, outputType, ...streaming } of method) {
        const streams = `${streaming.clientStreaming ?? false} ${streaming.serverStreaming ?? false}`;
        facts.push(`rpc ${name}.${rpc}: ${inputType} → ${outputType} ${streams}`);
      }
    }
  }
  return facts.sort();
}

function downloadCriApi(): string {
  const text = execFileSync("go", ["mod", "download", "-json", CRI_API], {
    // The module asks for a newer Go than a distribution may have.
    env: { ...process.env, GOTOOLCHAIN: "auto" },
    cwd: tmpdir(),
    encoding: "utf8",
  });
  return (JSON.parse(text) as { Dir: string }).Dir;
}

const hasGo = spawnSync("go", ["version"]).status === 0;

describe.skipIf(!hasGo)(`cri-proto/runtime/v1 against ${CRI_API}`, () => {
  let scratch: string;
  beforeAll(() => {
    scratch = mkdtempSync(join(tmpdir(), "lightvm-cri-"));
    mkdirSync(join(scratch, "runtime", "v1"), { recursive: true });
    writeFileSync(join(scratch, "buf.yaml"), "version: v2\n");
  });
  afterAll(() => rmSync(scratch, { recursive: true }));

  it("is identical on the wire", { timeout: 120_000 }, () => {
    const theirs = join(downloadCriApi(), "pkg/apis/runtime/v1/api.proto");
    cpSync(theirs, join(scratch, "runtime", "v1", "api.proto"));
    const expected = wireFacts(describeSchemas(scratch));
    expect(expected.length).toBeGreaterThan(800);
    expect(wireFacts(describeSchemas(OWN_SCHEMAS))).toEqual(expected);
  });
});
