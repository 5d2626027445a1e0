// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../shared/errors.ts";

/** Versions of the CNI specification that this runtime speaks, oldest first. */
export const SUPPORTED_VERSIONS = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] as const;

export type CniVersion = (typeof SUPPORTED_VERSIONS)[number];

/**
 * The newest version that a configuration offers (`cniVersion`, and `cniVersions` since 1.1) and we
 * speak. Throws "failed-precondition" when there is none.
 */
export function chooseVersion(offered: readonly string[]): CniVersion {
  const chosen = SUPPORTED_VERSIONS.findLast((version) => offered.includes(version));
  if (chosen !== undefined) return chosen;
  const ours = `${SUPPORTED_VERSIONS[0]} to ${SUPPORTED_VERSIONS.at(-1)}`;
  const theirs = offered.length === 0 ? "no version" : offered.join(", ");
  throw new LightvmError("failed-precondition", `it asks for CNI ${theirs}; ${ours} are possible`);
}

/** Whether a version is `least` or newer. */
export function atLeast(version: CniVersion, least: CniVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(least);
}
