// SPDX-License-Identifier: Apache-2.0
import type { Image } from "../../image/images.ts";
import type { NodeContext } from "../node-context.ts";

/** ImageStatus: undefined when there is no such image. */
export function imageStatus({ images }: NodeContext, referenceOrId: string): Image | undefined {
  return images.get(referenceOrId);
}
