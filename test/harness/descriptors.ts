// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { join, resolve } from "node:path";

/** The part of google.protobuf.FileDescriptorSet, as JSON, that tests read. */
export interface FileDescriptorSet {
  readonly file: readonly {
    readonly package: string;
    readonly messageType?: readonly MessageDescriptor[];
    readonly enumType?: readonly EnumDescriptor[];
    readonly service?: readonly {
      readonly name: string;
      readonly method: readonly MethodDescriptor[];
    }[];
  }[];
}
export interface EnumDescriptor {
  readonly name: string;
  readonly value?: readonly { readonly name: string; readonly number?: number }[];
}
export interface MessageDescriptor {
  readonly name: string;
  readonly field?: readonly FieldDescriptor[];
  readonly nestedType?: readonly MessageDescriptor[];
  readonly enumType?: readonly EnumDescriptor[];
  readonly options?: { readonly mapEntry?: boolean };
}
export interface FieldDescriptor {
  readonly name: string;
  readonly number: number;
  readonly label: string;
  readonly type: string;
  readonly typeName?: string;
  readonly oneofIndex?: number;
  readonly proto3Optional?: boolean;
}
export interface MethodDescriptor {
  readonly name: string;
  readonly inputType: string;
  readonly outputType: string;
  readonly clientStreaming?: boolean;
  readonly serverStreaming?: boolean;
}

const REPOSITORY = resolve(import.meta.dirname, "../..");

/** Our own schemas. */
export const OWN_SCHEMAS = join(REPOSITORY, "cri-proto");

/** Compiles the schemas in a directory. */
export function describeSchemas(directory: string): FileDescriptorSet {
  const buf = join(REPOSITORY, "node_modules/.bin/buf");
  const words = ["build", directory, "--as-file-descriptor-set", "-o", "-#format=json"];
  return JSON.parse(
    execFileSync(buf, words, { encoding: "utf8", maxBuffer: 64 * 1024 * 1024 }),
  ) as FileDescriptorSet;
}
