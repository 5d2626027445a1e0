// SPDX-License-Identifier: Apache-2.0

/** Image configurations: OCI image specification 1.1 and Docker's image specification 1.2. */
import { posix } from "node:path";
import { z } from "zod";
import { LightvmError } from "../shared/errors.ts";
import type { ImageConfig } from "./images.ts";
import { isDigest } from "./reference.ts";

/** What a configuration says: how to run the image, and what its layers are. */
export interface ImageDocument {
  readonly config: ImageConfig;
  /** Digests of the uncompressed layers, bottom first. */
  readonly diffIds: readonly string[];
}

// The kernel ends arguments and names at a zero byte; no honest author writes one.
const text = z.string().refine((value) => !value.includes("\0"), "must not hold a zero byte");
const textOrNothing = text.nullish().transform((value) => value ?? "");
const list = z
  .array(text)
  .nullish()
  .transform((value) => value ?? []);
/** Go writes a set as an object of empty objects. */
const set = z
  .record(text, z.unknown())
  .nullish()
  .transform((value) => Object.keys(value ?? {}).sort());

const execution = z.object({
  User: textOrNothing,
  Entrypoint: list,
  Cmd: list,
  Env: list,
  WorkingDir: textOrNothing,
  StopSignal: textOrNothing,
  Volumes: set,
  ExposedPorts: set,
  Labels: z
    .record(text, text)
    .nullish()
    .transform((value) => value ?? {}),
});

const document = z.object({
  architecture: z.string(),
  os: z.string(),
  config: execution.nullish(),
  rootfs: z.object({
    type: z.literal("layers"),
    diff_ids: z
      .array(z.string().refine(isDigest, "must be a sha256 or sha512 digest"))
      .nullish()
      .transform((value) => value ?? []),
  }),
});

/** An ImageConfig as it is kept in the node's records. */
export const imageConfigSchema: z.ZodType<ImageConfig> = z.object({
  user: z.string(),
  entrypoint: z.array(z.string()),
  command: z.array(z.string()),
  environment: z.array(z.string()),
  workingDirectory: z.string(),
  stopSignal: z.string(),
  volumes: z.array(z.string()),
  exposedPorts: z.array(z.string()),
  labels: z.record(z.string(), z.string()),
});

/** Throws "data-loss" for what is no image configuration, "unimplemented" for another platform. */
export function parseImageConfig(bytes: Uint8Array): ImageDocument {
  const { architecture, os, config, rootfs } = check(bytes);
  if (os !== "linux" || architecture !== "amd64") {
    throw new LightvmError(
      "unimplemented",
      `the image is for ${os}/${architecture}, this node runs linux/amd64`,
    );
  }
  return { config: toImageConfig(config ?? execution.parse({})), diffIds: rootfs.diff_ids };
}

function check(bytes: Uint8Array): z.output<typeof document> {
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw malformed("it is not JSON", error);
  }
  const result = document.safeParse(json);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw malformed(`${issue?.path.join(".") ?? ""}: ${issue?.message ?? ""}`, undefined);
}

function toImageConfig(config: z.output<typeof execution>): ImageConfig {
  return {
    user: config.User,
    entrypoint: config.Entrypoint,
    command: config.Cmd,
    environment: config.Env.flatMap(environmentItem),
    workingDirectory: config.WorkingDir === "" ? "" : absolute(config.WorkingDir),
    stopSignal: config.StopSignal,
    volumes: [...new Set(config.Volumes.map(absolute))].sort(),
    exposedPorts: config.ExposedPorts,
    labels: config.Labels,
  };
}

/** A name without "=" means that the variable is not set. */
function environmentItem(item: string): string[] {
  const equals = item.indexOf("=");
  if (item === "" || equals === 0) throw malformed("config.Env: a variable has no name", undefined);
  return equals < 0 ? [] : [item];
}

/** Builders take a relative path as from the root. */
function absolute(path: string): string {
  return posix.resolve("/", path);
}

function malformed(why: string, cause: unknown): LightvmError {
  return new LightvmError("data-loss", `the image's configuration is malformed: ${why}`, { cause });
}
