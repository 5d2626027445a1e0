// SPDX-License-Identifier: Apache-2.0
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";

/** Ids from 0 in the pod → ids from `hostId` in its guest. */
const idRangeSchema = z.object({ hostId: z.number(), length: z.number() });

/** How a pod's user namespace maps user and group ids. */
export const idMappingsSchema = z.object({ uids: idRangeSchema, gids: idRangeSchema });
export type IdRange = Readonly<z.output<typeof idRangeSchema>>;
export type IdMappings = Readonly<z.output<typeof idMappingsSchema>>;

/** Whether both map the same ids in the same way. */
export function sameIds(one: IdMappings | undefined, other: IdMappings | undefined): boolean {
  return isDeepStrictEqual(one, other);
}

/** As a person reads it: "uids 0-65535 as 131072-196607, gids …". */
export function idsText(mappings: IdMappings | undefined): string {
  if (mappings === undefined) return "no ids";
  return `uids ${rangeText(mappings.uids)}, gids ${rangeText(mappings.gids)}`;
}

function rangeText({ hostId, length }: IdRange): string {
  return `0-${length - 1} as ${hostId}-${hostId + length - 1}`;
}
