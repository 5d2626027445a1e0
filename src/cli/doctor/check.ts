// SPDX-License-Identifier: Apache-2.0
import type { Config } from "../../shared/config.ts";
import type { NodePaths } from "../../shared/paths.ts";
import type { Hypervisor } from "../../toolstack/hypervisor.ts";

/** ok: as it must be. warn: pods run, but something will be missed. fail: no pod can run. */
export type Verdict = "ok" | "warn" | "fail";

/** What one look at the host has found. */
export interface Finding {
  readonly verdict: Verdict;
  /** What was found, in one line. */
  readonly detail: string;
  /** What to do about it; only with warn and fail. */
  readonly remedy?: string;
}

/** The host that is looked at. */
export interface Host {
  readonly config: Config;
  readonly paths: NodePaths;
  /** Put before each absolute path of the system; "" on a real host. */
  readonly root: string;
  readonly uid: number;
  /** The hypervisor, or the error that says why there is none to be had. */
  readonly hypervisor: Hypervisor | Error;
  /** stdout and stderr of a command; throws when it cannot be started. */
  readonly run: (command: string, args: readonly string[]) => Promise<string>;
}

/** One item of `lightvm doctor`. */
export interface Check {
  readonly name: string;
  look(host: Host): Promise<Finding> | Finding;
}

export function ok(detail: string): Finding {
  return { verdict: "ok", detail };
}

export function warn(detail: string, remedy: string): Finding {
  return { verdict: "warn", detail, remedy };
}

export function fail(detail: string, remedy: string): Finding {
  return { verdict: "fail", detail, remedy };
}
