// SPDX-License-Identifier: Apache-2.0
import type { ImageFsInfo } from "../../image/images.ts";
import type { NodeContext } from "../node-context.ts";

/** ImageFsInfo: the room that images take. Writable layers of containers are in their VMs. */
export function imageFsInfo({ images }: NodeContext): Promise<ImageFsInfo> {
  return images.fsInfo();
}
