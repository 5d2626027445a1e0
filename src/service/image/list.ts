// SPDX-License-Identifier: Apache-2.0
import type { Image } from "../../image/images.ts";
import type { NodeContext } from "../node-context.ts";

/** ListImages: all, or those that a reference or id names. */
export function listImages(
  { images }: NodeContext,
  referenceOrId: string | undefined,
): readonly Image[] {
  return images.list(referenceOrId);
}
