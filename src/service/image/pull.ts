// SPDX-License-Identifier: Apache-2.0
import type { Credentials } from "../../image/images.ts";
import type { NodeContext } from "../node-context.ts";

/** PullImage. Returns the image's id; see `Images.pull` for what it throws. */
export async function pullImage(
  { images }: NodeContext,
  request: { readonly reference: string; readonly credentials: Credentials | undefined },
  signal: AbortSignal,
): Promise<string> {
  const { credentials, reference } = request;
  return (await images.pull(reference, { credentials, signal })).id;
}
