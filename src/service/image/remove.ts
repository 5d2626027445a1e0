// SPDX-License-Identifier: Apache-2.0
import { LightvmError } from "../../shared/errors.ts";
import type { NodeContext } from "../node-context.ts";

/**
 * RemoveImage: the image under all its names. Not there = nothing to do. Throws
 * "failed-precondition" while a container that has not exited uses it.
 */
export async function removeImage(
  { images, pods }: NodeContext,
  referenceOrId: string,
): Promise<void> {
  const image = images.get(referenceOrId);
  if (image === undefined) return;
  const user = pods
    .sandboxes()
    .filter(({ state }) => state === "ready")
    .flatMap(({ containers }) => [...containers.values()])
    .find((container) => container.state !== "exited" && container.uses(image.id));
  if (user !== undefined) {
    throw new LightvmError(
      "failed-precondition",
      `image ${referenceOrId} is in use by container ${user.id}`,
    );
  }
  await images.remove(image.id);
}
