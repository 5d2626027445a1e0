// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { LightvmError } from "../shared/errors.ts";
import type { NodePaths } from "../shared/paths.ts";
import { isShellId } from "./shell-directory.ts";

const SANDBOX_ID = /^[0-9a-f]{64}$/;

/**
 * Which shell each pod has: `pods/SANDBOX-ID` is a symbolic link to `shells/SHELL-ID`. To take a
 * shell is to make the link, which happens or does not: no crash leaves half a pod, and two pods
 * never get one shell, as only one caller holds it.
 */
export class PodLinks {
  readonly #pods: string;
  readonly #shells: string;

  constructor({ pods, shells }: Pick<NodePaths, "pods" | "shells">) {
    this.#pods = pods;
    this.#shells = shells;
  }

  /** Throws "already-exists" when the pod has a shell, "invalid-argument" for a name that is no id. */
  add(podId: string, shellId: string): void {
    requireSandboxId(podId);
    mkdirSync(this.#pods, { recursive: true, mode: 0o711 });
    try {
      symlinkSync(join(relative(this.#pods, this.#shells), shellId), join(this.#pods, podId));
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
      throw alreadyExists(podId, { cause });
    }
  }

  /** The shell of a pod; undefined when it has none. */
  shellOf(podId: string): string | undefined {
    requireSandboxId(podId);
    try {
      const id = basename(readlinkSync(join(this.#pods, podId)));
      return isShellId(id) ? id : undefined;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** No error when there is none. */
  remove(podId: string): void {
    rmSync(join(this.#pods, podId), { force: true });
  }

  /** Ids of all pods that have a link, whether or not anything is behind it. */
  podIds(): string[] {
    try {
      return readdirSync(this.#pods).filter((name) => SANDBOX_ID.test(name));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }
}

export function alreadyExists(podId: string, options?: ErrorOptions): LightvmError {
  return new LightvmError("already-exists", `there is a VM of pod ${podId} already`, options);
}

function requireSandboxId(id: string): void {
  if (SANDBOX_ID.test(id)) return;
  throw new LightvmError("invalid-argument", `"${id}" is no sandbox id (64 hexadecimal digits)`);
}
