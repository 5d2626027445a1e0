// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from "vitest";
import { Mount } from "../../cri-proto/generated/runtime/v1/container.ts";
import { containerMount } from "./mount-request.ts";

const IDS = { hostId: 131_072, containerId: 0, length: 65_536 };

/** What a mount of /srv at /data with these mappings becomes. */
function mapped(uidMappings: (typeof IDS)[], gidMappings: (typeof IDS)[]) {
  const mount = { containerPath: "/data", hostPath: "/srv", uidMappings, gidMappings };
  return containerMount(Mount.fromPartial(mount));
}

describe("a mount's id mappings", () => {
  it("are kept, and are absent when there are none", () => {
    const range = { hostId: 131_072, length: 65_536 };
    expect(mapped([IDS], [{ ...IDS, hostId: 7 }]).idMappings).toEqual({
      uids: range,
      gids: { hostId: 7, length: 65_536 },
    });
    expect(mapped([], [])).not.toHaveProperty("idMappings");
  });

  it("are one range each that begins with root", () => {
    const refuse = (uids: (typeof IDS)[], gids: (typeof IDS)[], message: RegExp) =>
      expect(() => mapped(uids, gids)).toThrow(
        expect.objectContaining({
          code: "invalid-argument",
          message: expect.stringMatching(message),
        }),
      );
    const what = 'of the volume at "/data"';
    refuse([IDS], [], new RegExp(`gid_mappings ${what} has 0 mappings`));
    refuse([IDS, IDS], [IDS], new RegExp(`uid_mappings ${what} has 2 mappings`));
    refuse([{ ...IDS, containerId: 1 }], [IDS], /does not map id 0/);
    refuse([IDS], [{ ...IDS, length: 0 }], /maps 0 ids from 131072/);
    refuse([{ ...IDS, hostId: 2 ** 32 - 2 }], [IDS], /maps 65536 ids from 4294967294/);
  });
});
