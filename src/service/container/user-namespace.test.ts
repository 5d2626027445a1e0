// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import type { ContainerConfig } from "../../pod/container-record.ts";
import type { IdMappings } from "../../shared/id-mappings.ts";
import { checkIds } from "./user-namespace.ts";

const range = (hostId: number) => ({ hostId, length: 65_536 });
const IDS: IdMappings = { uids: range(131_072), gids: range(131_072) };
const OTHERS: IdMappings = { ...IDS, gids: range(262_144) };

/** Checks a container that says `own` of the pod's user namespace and has mounts with such ids. */
function check(
  pod: IdMappings | undefined,
  mounts: readonly (IdMappings | undefined)[],
  own?: ContainerConfig["security"]["userNamespace"],
): void {
  const config = {
    imageMounts: [],
    mounts: mounts.map((idMappings) => ({ containerPath: "/data", idMappings })),
    security: { userNamespace: own },
  };
  checkIds(pod, config as unknown as ContainerConfig);
}

describe("ids of a container", () => {
  it("are the pod's, or nothing is said of them", () => {
    check(undefined, [undefined]);
    check(undefined, [], {});
    check(IDS, [IDS, structuredClone(IDS), undefined], { idMappings: IDS });
    check(IDS, [IDS]);
  });

  it("that are not the pod's are refused by name", () => {
    const refused = (message: RegExp) =>
      expect.objectContaining({
        code: "invalid-argument",
        message: expect.stringMatching(message),
      });
    const mount = 'the volume at "/data" maps uids 0-65535 as 131072-196607';
    expect(() => check(undefined, [IDS])).toThrow(refused(new RegExp(`^${mount}.* no ids$`)));
    expect(() => check(IDS, [IDS, OTHERS])).toThrow(
      refused(/gids 0-65535 as 262144-327679, and the pod's user namespace uids/),
    );
    const container = /^userns_options of the container maps/;
    expect(() => check(IDS, [], { idMappings: OTHERS })).toThrow(refused(container));
    expect(() => check(IDS, [], {})).toThrow(refused(container));
    expect(() => check(undefined, [], { idMappings: IDS })).toThrow(refused(container));
  });
});
