// SPDX-License-Identifier: Apache-2.0
import { open } from "node:fs/promises";
import type { ContainerConfig } from "../../../pod/container-record.ts";
import { LightvmError } from "../../../shared/errors.ts";
import { compileProfile } from "./compile.ts";
import { defaultProfile } from "./default-profile.ts";
import { type Profile, parseProfile } from "./profile.ts";

/** Docker's own profile has 15 KB. */
const MAX_PROFILE_BYTES = 1024 * 1024;

/**
 * The seccomp filter for a container with these capabilities, ready for its guest's kernel; empty =
 * none. Throws "not-found" and "invalid-argument" for a profile of the node.
 */
export async function seccompFilter(
  { privileged, seccomp }: ContainerConfig["security"],
  capabilities: readonly string[],
): Promise<Uint8Array> {
  // Of privileged containers Kubernetes wants that nothing restrains them.
  if (privileged || seccomp.kind === "unconfined") return new Uint8Array();
  const set = new Set(capabilities);
  const profile =
    seccomp.kind === "runtime-default"
      ? defaultProfile(set)
      : await localProfile(seccomp.path, set);
  return compileProfile(profile);
}

async function localProfile(path: string, capabilities: ReadonlySet<string>): Promise<Profile> {
  const origin = `the seccomp profile ${path} of the node`;
  return parseProfile(await readProfile(path, origin), capabilities, origin);
}

async function readProfile(path: string, origin: string): Promise<string> {
  try {
    await using file = await open(path);
    const { size } = await file.stat();
    if (size > MAX_PROFILE_BYTES) {
      const why = `${origin} is larger than ${MAX_PROFILE_BYTES} bytes`;
      throw new LightvmError("invalid-argument", why);
    }
    return await file.readFile("utf8");
  } catch (cause) {
    if (cause instanceof LightvmError) throw cause;
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    const code = missing ? "not-found" : "failed-precondition";
    throw new LightvmError(code, `${origin} cannot be read`, { cause });
  }
}
